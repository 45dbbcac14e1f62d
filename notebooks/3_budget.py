# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A programmer's budget
#
# You will fit more than one model to the same people: a quick look, the real thing, a correction next year. Each costs
# epsilon, and what they cost *together* is what the people feel. This page keeps one account over several fits, of marginals and of gradients: plan before
# spending, spend, enter what somebody else's tool has spent, and be refused.

# %%
import pandas as pd
from helpers import Picture, bundled, lines

from dpsynth import Budget, BudgetError, Ledger, fit, plan
from dpsynth.release.pages.svg_public import gauge
from dpsynth.synthesis import unit_of

rows, schema = bundled(people=2500)
promise = Budget(epsilon=3.0, delta=1e-8)
ledger = Ledger.open("claims.ledger", dataset="claims-2026", promise=promise, unit=unit_of(schema))

# %% [markdown]
# `Ledger.open` made a file. The promise in it (epsilon 3 for ever, delta 1e-8) was written once and can never be raised. The
# ledger belongs to *people*, not to a file: every table about the same people goes to the same ledger.
#
# `unit` says whom it protects: all rows of a person together, as the schema declares. Without it a ledger protects single
# rows, and a schema about persons is refused later.

# %%
ledger.remaining().words

# %% [markdown]
# ## Plan before spending
#
# `plan` runs the very code that prices a fit and stops where the first row would be read. So you can ask as often as you like
# what a method would measure, with how much noise, at which epsilon:

# %%
table = []
for method in ("independent", "mst", "tree"):
    for epsilon in (0.3, 1.0):
        preview = plan(schema, method=method, epsilon=epsilon, ledger=ledger)
        table.append(
            {
                "method": method,
                "epsilon asked": epsilon,
                "epsilon it will cost": f"{preview.certificate.epsilon:.3f}",
                "accountant": preview.certificate.accountant,
                "charges": len(preview.charges),
                "noise on 'age' (rows per cell)": f"{preview.noise()[('age',)]:.0f}",
            }
        )
pd.DataFrame(table).style.hide(axis="index")

# %% [markdown]
# The noise on one column grows with the number of questions that share the budget: `independent` asks only for columns, `tree`
# spends most on pairs and triples.
#
# ## Spend
#
# A fit reserves its whole cost in the ledger, durably, *before the first row is counted*, and may then make exactly the
# planned charges. First a quick look at epsilon 0.3, then the real one at epsilon 1:

# %%
look = fit(rows, schema, method="independent", epsilon=0.3, ledger=ledger)
after_look = ledger.spent().epsilon
model = fit(rows, schema, method="tree", epsilon=1.0, ledger=ledger)
Picture(gauge(after_look, ledger.spent().epsilon, promise.epsilon))

# %%
ledger.remaining().words

# %% [markdown]
# The two together cost less than 0.3 + 1: the ledger does not add epsilons, it composes what was really done (here:
# Gaussian noise, whose costs add up in squares). Over many runs that is the largest gain there is:

# %%
delta = promise.delta
together, added = [], []
for runs in (1, 2, 3, 5, 10, 20, 30, 50):
    trial = Ledger.in_memory(Budget(100.0, delta), model.receipt.unit)
    preview = plan(schema, method="independent", epsilon=0.3, ledger=trial)
    for _ in range(runs):
        with trial.reserve("a look", preview.charges, preview.budget) as run:
            for charge in preview.charges:
                run.charge(charge.purpose, charge.event)
    together.append((runs, trial.spent().epsilon))
    added.append((runs, runs * preview.certificate.epsilon))
lines(
    "What several runs of epsilon 0.3 cost together",
    {"one ledger": together, "adding up epsilons": added},
    "runs about the same people", "epsilon in all", top=15.0,
)  # fmt: skip

# %% [markdown]
# ## Gradients in the same account
#
# Another kind of generator learns from noisy *gradients* (DP-SGD; method `gan`): each step looks at a secret random part of the
# people, and the step's answer gets noise. It pays the same ledger; its noisy columns and its steps are priced in one go:

# %%
learnt = fit(rows, schema, method="gan", epsilon=0.8, ledger=ledger)
pd.DataFrame(
    [
        {"what was asked": charge.purpose, "kind of noise": type(charge.event).__name__}
        for charge in learnt.receipt.charges
    ]
).style.hide(axis="index")

# %%
Picture(gauge(after_look, ledger.spent().epsilon, promise.epsilon))

# %% [markdown]
# ## What somebody else released
#
# A colleague has published a histogram of the same people with another tool, at epsilon 0.2. Of that we know only the number,
# so the ledger takes the worst mechanism that keeps it. Better to enter it than to pretend:

# %%
ledger.charge_external("histogram of plans", 0.2, 0.0, tool="another tool")
ledger.remaining().words

# %% [markdown]
# ## Refusal
#
# Another run of epsilon 2.9? No, and nothing is read, nothing is spent, no entry is made:

# %%
before = len(ledger.entries)
try:
    fit(rows, schema, method="tree", epsilon=2.9, ledger=ledger)
except BudgetError as refused:
    print(refused.code, refused)
print("entries before and after:", before, len(ledger.entries))

# %% [markdown]
# There is no flag to go on anyway. The way out is in the message: a smaller epsilon, or other people.
#
# ## What is free, and what stays spent
#
# * **Sampling** is free, for ever: the model was released, the rows are not read again. Any number of rows, any condition.
# * **Saving, loading, looking at the model**: free. It holds no rows and no exact counts.
# * **A run that crashed** stays spent: it may have seen answers. Its reservation is in the ledger.
# * **A model you threw away** stays spent. Fitting five times and keeping the best costs five times.
# * **Choosing epsilon by looking at the results** is a choice made with private answers: the ledger's accounting covers it
#   (it is a filter, valid when you decide after each run), adding epsilons by hand would not remind you.

# %%
model.save("model")
model.sample(5).drop(columns="person")

# %% [markdown]
# ## The account, entry by entry

# %%
for line in ledger.lines():
    print(f"{line.sequence:>3}  {line.kind:<9} {line.what}: {line.state}"[:150])

# %% [markdown]
# Each entry holds the hash of the one before, and the last hash is in every bundle. Who removes a run from the file breaks the
# chain; who restores an old copy contradicts the head file and the bundles ([what is not noticed](../privacy_budget.md)).
#
# Next: [several releases of one table](../how-to/several-releases.md), [what other tools released](../how-to/other-tools.md).
