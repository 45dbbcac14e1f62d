# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A researcher's audit
#
# Somebody hands you a synthetic table and says that it is private. You have the rows it was made from, and rows of other
# people from the same source that were held out by chance. What can you find out, and what not?
#
# Here are three "vendors". Each got the same 500 people of the bundled table; another 500 were held out by a coin. All
# three tables look fine at first glance.

# %%
import numpy as np
import pandas as pd
from helpers import VENDORS, Picture, bundled, vendors

import attacks
from attacks import drawing

rng = np.random.default_rng(7)
rows, schema = bundled(people=1000)
people = rng.permutation(rows["person"].unique())
members = rows[rows["person"].isin(people[:500])]
controls = rows[rows["person"].isin(people[500:])]
tables = vendors(members, schema, rng)
pd.DataFrame({"vendor": VENDORS.keys(), "what it gave away": VENDORS.values()}).style.hide(axis="index")

# %% [markdown]
# Of course a real vendor does not tell. Vendor C's steps are secret (women for men, income up by a fixed sum and around
# the end, and so on): who knows them has the whole table.
#
# ## The test that everybody runs
#
# "How many synthetic rows are exact copies?" is the usual check. B fails it, A passes. **C passes it too**, with the whole table inside.

# %%
modelled = list(schema.modelled)
real = set(members[modelled].itertuples(index=False, name=None))
shares = [
    np.mean([row in real for row in t[modelled].itertuples(index=False, name=None)]) for t in tables.values()
]
pd.DataFrame({"vendor": tables.keys(), "exact copies": [f"{share:.0%}" for share in shares]}).style.hide(
    axis="index"
)

# %% [markdown]
# ## The suite
#
# `attacks.run_suite` plays a fair game: an attack gets the synthetic rows and 1,000 people, half of them members, and gives each
# a score. It never learns who is who. Then members and controls are compared. All three vendors claim epsilon 1.

# %%
results = {
    name: attacks.run_suite(table, members, controls, schema, claim=(1.0, 1e-8), rng=np.random.default_rng(1))
    for name, table in tables.items()
}
pd.DataFrame(
    [
        {
            "vendor": name,
            "verdict": found.verdict,
            "strongest attack": found.worst.label,
            "area (0.5 is guessing)": f"{found.worst.auc.value:.2f}",
            "epsilon is at least": f"{found.epsilon_at_least or 0:.2f}",
        }
        for name, found in results.items()
    ]
).style.hide(axis="index")

# %% [markdown]
# **Empirical epsilon** is the last column. Each attack guesses, for every person, "in" or "out", and is judged on those it is
# sure about. Under a promise of epsilon the chance to be right is at most e^epsilon to 1 for each guess; too many right guesses
# refute the promise. The number is a lower bound that holds with 99 % confidence, counted over all attacks
# (Steinke, Nasr and Jagielski 2023). *It is never an estimate of the true epsilon*: 0 means that nothing was shown.

# %%
Picture(drawing.epsilon_bounds(results["B: one row in ten copied"]))

# %% [markdown]
# ## What a leak looks like
#
# Vendor B, one row in ten copied. On ordinary axes such a leak hides: nine tenths of the people are as safe as with an honest
# table. On logarithmic axes it stands out at the left, where the attacker accuses hardly anybody wrongly. That corner
# is the one that matters: a few people, named with near certainty.

# %%
Picture(drawing.roc(results["B: one row in ten copied"]))

# %% [markdown]
# And the honest table, under the same attacks:

# %%
Picture(drawing.roc(results["A: dpsynth, epsilon 1"]))

# %% [markdown]
# Near the diagonal, out of the shaded region; a curve may stray by chance, and the suite counts how many curves it drew
# before it says that one of them strayed too far.
#
# ## Who is at risk
#
# People are not equally exposed. From left to right the people of vendor B, from the most ordinary to the most isolated, and
# how well the strongest attack tells them from others:

# %%
Picture(drawing.risk_by_isolation(results["B: one row in ten copied"]))

# %% [markdown]
# ## What attacks cannot see
#
# Look at vendor C again: the complete private table, and hardly anything is found, because every attack compares rows as they
# are. Somebody who knows the recoding reads everything. There is no end of such codes. The suite keeps one among its own
# controls, so that no report can be read as a proof:

# %%
found = results["A: dpsynth, epsilon 1"]
pd.DataFrame([c.as_json() for c in found.controls])[["control", "kind", "copied_share", "seen"]].style.hide(
    axis="index"
)

# %% [markdown]
# That is why the verdicts stop at *no evidence from these attacks*. A promise of differential privacy covers C as well: it is a
# property of the program that made the table, whoever attacks the table and however. Attacks can refute it, never prove it.
#
# ## On somebody else's files
#
# The same on the command line, without Python and without a schema (one is read off the files):
#
# ```text
# dpsynth audit --synthetic vendor.csv --train train.csv --holdout holdout.csv \
#     --epsilon 1 --delta 1e-8 --split random --secret income --known age --known sex --out findings.json
# ```
#
# * Say `--split random` only if chance alone decided who was held out, person by person. A vendor's "test set" may come from another
#   month; then members differ from controls for reasons that are no leak, and the strongest verdict is `LEAK`.
# * Hold out *people*, not rows, if somebody can have several rows.
# * Exit code 6 means `VIOLATION`. The findings are computed from real rows: keep them inside.
#
# More: [what the attacks find and what not, measured](../reference/benchmarks.md), [the attacks' library](../reference/attacks.md).
