# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Choosing epsilon
#
# There is no right epsilon. There are two curves: what an attacker may gain, and how useful the rows are. This page draws
# both from 0.1 to 10 on the bundled real table (5,912 people, at most three years each), so that you can see what you choose.
#
# Everything below is drawn anew when this page is built; the noise is fresh each time, so the last digits move. Nothing
# of it could be done with a private table: each fit is paid for. It can be done with any *public* table that looks like yours,
# and that is the way to choose.

# %%
import numpy as np
import pandas as pd
from helpers import bundled, lines, pair_error, prediction

import attacks
from attacks.membership.marginals import MarginalRatio
from dpsynth import fit

EPSILONS = (0.1, 0.3, 1.0, 3.0, 10.0)
rows, schema = bundled()
rng = np.random.default_rng(3)
people = rng.permutation(rows["person"].unique())
train = rows[rows["person"].isin(people[:4700])]
test = rows[rows["person"].isin(people[4700:])]
models = {e: fit(train, schema, method="tree", epsilon=e, delta=1e-8) for e in EPSILONS}
synthetic = {e: model.sample(len(train), rng) for e, model in models.items()}

# %% [markdown]
# ## What an attacker may gain
#
# The worst attacker of all knows everything about everybody, except whether *you* are in the table. He raises an alarm, and we
# allow him to be wrong about one outsider in a hundred. How many insiders can he name? Guessing names one in a hundred too.
# The promise limits him, whatever he does; the curve is exact for the noise that was really used:

# %%
allowed = {
    fpr: [(e, model.receipt.attacker[i].true_positive_rate) for e, model in models.items()]
    for i, fpr in ((1, 0.01), (2, 0.1))
}
lines(
    "The most that any attacker can reach",
    {"accusing 1 % of outsiders": allowed[0.01], "accusing 10 % of outsiders": allowed[0.1]},
    "epsilon", "share of insiders he names", top=1.0,
)  # fmt: skip

# %% [markdown]
# Said as beliefs: somebody was half sure (or 1 % sure) that you are in the table. He gets the synthetic rows, and his alarm
# goes off, as it does for one outsider in a hundred. How sure may he be now?

# %%
beliefs = {e: dict(model.receipt.attacker[1].posteriors) for e, model in models.items()}
pd.DataFrame(
    {
        "epsilon": [f"{e:g}" for e in beliefs],
        "50 % sure becomes at most": [f"{belief[0.5]:.1%}" for belief in beliefs.values()],
        "1 % sure becomes at most": [f"{belief[0.01]:.1%}" for belief in beliefs.values()],
    }
).style.hide(axis="index")

# %% [markdown]
# ## How useful the rows are
#
# Two measures. *Pairs*: of all tables of two columns, how much of the rows lies in a wrong cell (total variation). *Prediction*:
# a linear model learns on synthetic rows to predict what a person costs, and is judged on real people it has never seen.
# Each beside the best that can be reached: real rows of other people, and a model taught by the real table.

# %%
errors = [(e, pair_error(train, synthetic[e], schema)) for e in EPSILONS]
other = pair_error(train, test, schema)
apart = pair_error(
    train, train.apply(lambda c: c.sample(frac=1, random_state=len(c.name)).to_numpy()), schema
)
ends = (EPSILONS[0], EPSILONS[-1])
lines(
    "Error of the pairs of columns",
    {
        "synthetic rows": errors,
        "exact columns that know nothing of each other": [(e, apart) for e in ends],
        f"real rows of {len(people) - 4700:,} other people": [(e, other) for e in ends],
    },
    "epsilon", "share of rows in a wrong cell", top=max(0.15, errors[0][1]),
)  # fmt: skip

# %% [markdown]
# Where the blue curve is above the line of columns that know nothing of each other, the run would be better off measuring single
# columns: there are too few people for that epsilon. Where it comes near the line of other real people, more epsilon buys
# nothing that anybody could tell from chance.

# %%
taught = [(e, prediction(synthetic[e], test, schema, "cost")) for e in EPSILONS]
best = prediction(train, test, schema, "cost")
lines(
    "Predicting the cost of real people (R2 of its logarithm)",
    {"taught by synthetic rows": [(e, max(0.0, r)) for e, r in taught], "taught by the real table": [(e, best) for e in ends]},
    "epsilon", "share of the variance explained", top=1.0,
)  # fmt: skip

# %% [markdown]
# ## People count as much as epsilon
#
# The noise does not grow with the table, so ten times the people are worth about as much as ten times epsilon. That is
# why a national survey can be published at an epsilon at which a school class would be nothing but noise. The same method
# at epsilon 1 on fewer people:

# %%
sizes = []
for n in (300, 1000, 4700):
    some = rows[rows["person"].isin(people[:n])]
    sizes.append(
        (
            n,
            pair_error(
                some, fit(some, schema, method="tree", epsilon=1.0, delta=1e-8).sample(5000, rng), schema
            ),
        )
    )
lines(
    "Error of pairs at epsilon 1",
    {"synthetic rows": sizes},
    "people in the table", "share of rows in a wrong cell", top=max(0.15, sizes[0][1]),
)  # fmt: skip

# %% [markdown]
# Three honest ways out when there are few: ask for less (fewer columns, coarser cells), put several years together, or
# give the rows only to somebody with a contract, at a larger epsilon. With a few hundred people, do not hope for much from any honest method: fewer columns, coarser cells, or no release.
#
# ## What real attacks reach
#
# The bound holds for an attacker who knows nearly everything. The attacks we know are weaker. Here the strongest of
# them, which asks of each person how well the synthetic marginals agree with him, against 1,200 people who are in and
# 1,200 who are not:

# %%
inside, outside = (rows[rows["person"].isin(people[part])] for part in (slice(0, 1200), slice(4700, 5900)))
areas, most = [], []
for epsilon in (0.1, 1.0, 10.0, 100.0):
    model = fit(inside, schema, method="tree", epsilon=epsilon, delta=1e-8)
    found = attacks.run_suite(
        model.sample(3000, rng), inside, outside, schema, (epsilon, 1e-8), attacks=[MarginalRatio()], rng=rng
    )
    areas.append((epsilon, found.attacks[0].auc.value))
    most.append((epsilon, found.claim.auc()))
lines(
    "Members told from outsiders (area under the curve)",
    {
        "most that the promise allows": most,
        "marginal ratio attack": areas,
        "guessing": [(e, 0.5) for e in (0.1, 100.0)],
    },
    "epsilon", "area (0.5 is guessing)", top=1.0,
)  # fmt: skip

# %% [markdown]
# Two things to take along. At epsilon 1 and below, an honest model shows nothing to the attacks we have; they begin to
# see something from about 3 on. And the gap between the curves is *not* a safety margin to be spent: it is what the attackers
# of today cannot do yet.
#
# ## So, which one?
#
# * **0.1 to 1** for a table that goes to the public or to many. What an attacker gains stays small even if he knows
#   everything else.
# * **1 to 3** for a recipient with a contract and a purpose. Say in the release what the number allows.
# * **Above 5** a release leans on the attacks being weak. Then say so; the promise itself says little.
# * **Never by trying.** Each fit at each epsilon is paid for. Look at curves like these on a *public* table of the same
#   shape, or on `dpsynth plan --epsilon 0.5,1,2`, which costs nothing, and then run once.
# * **Delta** is the chance that the promise fails altogether. Keep it far below one over the number of people.
#
# More: [what epsilon means in odds](../explanation/epsilon.md), [many people, few people](../sharp-edges.md).
