# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A compliance officer's release
#
# Somebody in the house wants to share a table about people. You have to say yes or no, and to stand by it in three years.
# This page goes the whole way once, from a private table to a bundle that a stranger can check, and stops at each
# question that only a person can answer. There are five. You need no Python for any of it: every step is one command.
#
# The table is real: 1,200 people of the RAND Health Insurance Experiment, up to five years each, with age, income, visits
# to the doctor and what they cost. It is public, so you may look behind every step; we treat it as if it were not.

# %%
import json
from pathlib import Path

import pandas as pd
from helpers import from_page, shell, write_bundled

write_bundled(people=1200)
print(Path("project.yaml").read_text()[:1250])

# %% [markdown]
# That is the *project file*. It was drafted by `dpsynth init claims.csv` from the header alone, and a person filled it in.
# Everything you will be asked is in it.
#
# **Question 1: who is protected?** The line `unit:` says: a *person*, that is, all rows with the same number, of which at
# most three are used. If it said `{entity: row}`, somebody with five rows would be protected five times less. Ask: can one
# human being be in the table under two numbers? Then the promise is about numbers, not about human beings.
#
# **Question 2: what is public knowledge?** Bounds, edges and categories are written down, not learnt. "Age 0 to 65" must be
# something that everybody could know without seeing these rows (here: who was admitted to the experiment). If somebody looked
# into the rows to find a bound, the entry must say `origin: inspected`, and no release will come of it until a person has
# replaced it by public knowledge.
#
# Does the table fit what was declared? The check costs nothing and releases nothing; it never quotes a cell.

# %%
shell("dpsynth check project.yaml")

# %% [markdown]
# **Question 3: how much may leak?** Not "whether". The promise has a number, *epsilon*. A plain way to read it: somebody
# bets on whether one certain person is in the table. He knows everything about everybody else. Without the synthetic table
# his odds are even. With it they are at best *e to the epsilon* to one: epsilon 0.1 makes 1.1 to 1, epsilon 1 makes 2.7 to 1,
# epsilon 10 makes 22,000 to 1, which is no promise at all. [The page on epsilon](../explanation/epsilon.md) has the
# details and [the notebook on choosing it](4_epsilon.md) the price in usefulness.
#
# **Question 4: what was released about these people before?** Promises add up. That is why there is a *ledger*: one account
# for these people, whoever spends. `promise: {epsilon: 3.0}` is the most that will ever be spent on them. If another tool
# has already released something about them, enter it first (`dpsynth ledger charge`).
#
# What would a run ask of the table, and how much noise would be put on each answer? Still nothing is read:

# %%
shell("dpsynth plan project.yaml --rows 4000")

# %% [markdown]
# **Question 5: who answers for it?** Purpose, recipient, legal basis, what is forbidden, whom to ask, who approved, when
# somebody looks again. A release without these is refused before anything is spent. They stand at the end of the project file.
#
# Now the run. It splits the people by secret coins into those who are used and a tenth or a fifth who are held out, fits,
# draws synthetic rows, *attacks them*, judges their usefulness, and writes the bundle:

# %%
shell("dpsynth run project.yaml -o release")

# %% [markdown]
# Two folders. `release/public` may be given away. `release/internal` compares with real rows: handle it like the source.
#
# ## How to read the attack page
#
# `internal/report.html` has a chapter "Attacks". Each attack gets the synthetic rows and tries to tell people who were used
# from people who were held out. Somebody who was held out cannot have leaked, so whatever an attack "finds" about him is
# luck or general knowledge. That comparison is the whole point: a number without its control means nothing.

# %%
from_page("release/internal/report.html", "How many members the attacks name")

# %% [markdown]
# From left to right: how many innocents the attacker accuses. Upwards: how many of the right people he names. The dashed
# diagonal is guessing. The shaded region is what the promise forbids *any* attacker, also those nobody has thought of. So
# there are four verdicts:
#
# | verdict | means | what you do |
# |---|---|---|
# | `NO EVIDENCE FROM THESE ATTACKS` | the curves hug the diagonal, and a planted leak *was* seen | go on |
# | `LEAK`, within the promise | a curve leaves the diagonal, but stays out of the shaded region | allowed; decide whether epsilon should be smaller |
# | `VIOLATION` | a curve enters the shaded region beyond chance | the model is blocked for good; report a bug |
# | `INCONCLUSIVE` | too few people, or a planted leak was *not* seen | the attacks say nothing; hold out more, or rely on the proof alone |
#
# None of them says "safe". Safety is the promise, which holds by the construction of the noise; the attacks are there to catch a
# construction that is broken. [Why attacks never prove safety](../explanation/attacks.md) is a page of its own.
#
# Do the attacks work at all? The suite plants leaks of its own and must see them; it also plants tables that leak nothing
# and must stay silent:

# %%
found = json.loads(Path("release/internal/attacks.json").read_text())
controls = pd.DataFrame(found["controls"])[["control", "kind", "copied_share", "seen", "passed"]]
controls.style.hide(axis="index").format(
    {"copied_share": lambda share: "" if pd.isna(share) else f"{share:.0%}"}
)

# %% [markdown]
# In "copy of every row, recoded" each value was moved by one step: everybody who knows the step can read all the data. No
# attack sees it. That line is there to remind you.
#
# ## What the recipient gets

# %%
promise = json.loads(Path("release/public/privacy.json").read_text())
rows = [
    {
        "outsiders he accuses": f"{one['false_positive_rate']:.1%}",
        "insiders he recognises, at most": f"{one['true_positive_rate_at_most']:.2%}",
        "was 50 % sure, becomes at most": f"{one['posteriors'][1]['posterior_at_most']:.1%}",
    }
    for one in promise["attacker"]
]
pd.DataFrame(rows).style.hide(axis="index")

# %% [markdown]
# That table is in `privacy.json` and on the first screen of the public page. It is the sentence to quote when somebody asks
# "what does epsilon 1 mean?".
#
# The page for your signature is `public/sign_here.md`. It separates three things: what *you* state, what the tool states and
# anybody can check, and what nobody states.

# %%
print(Path("release/public/sign_here.md").read_text().split("## Nobody states")[1].split("##")[0].strip())

# %% [markdown]
# ## Anybody can check it
#
# A stranger needs the public folder and this program, no network and no trust in you: every file's digest, the promise
# computed again from the list of noisy questions, every row against the schema, every page against the facts.

# %%
shell("dpsynth verify release/public")

# %% [markdown]
# Change one cell and it says so:

# %%
data = Path("release/public/data.csv")
data.write_text(data.read_text().replace("excellent", "poor", 1))
shell("dpsynth verify release/public", exits=7)

# %% [markdown]
# And the ledger remembers, whatever happens to the files: what was spent, by which run, what the audit said, what is left.

# %%
shell("dpsynth ledger show claims.ledger")

# %% [markdown]
# ## Before you say yes
#
# 1. The unit is a human being, not a row. (Question 1.)
# 2. Every bound is public knowledge, and a named person decided that. (Question 2.)
# 3. Epsilon, and what it allows, stands in your notes in words. (Question 3.)
# 4. The ledger is the only account of these people, and older releases are in it. (Question 4.)
# 5. The verdict is not `VIOLATION`; if it is `INCONCLUSIVE` you know why.
# 6. `internal/` stays in the house. So do screenshots of it: the attacks' figures are computed from real rows.
# 7. The bundle is signed (`dpsynth keygen`, `--sign`), and the recipient got the public key by another way.
#
# Next: [how to sign](../how-to/signing.md), [how to make your organisation's rules decide](../how-to/policy.md), and
# [the whole pipeline on one page](../pipeline.md).
