"""Outputs to attack: real tables as records, and generators of which it is known what they leak."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "attacks"))

import known_leaks

import dpsynth
from attacks import Candidates, Claim, Game, Rows, View
from attacks.kernels import Neighbourhood
from dpsynth.budget import MAX_EPSILON
from dpsynth.domain import Clique, Domain
from dpsynth.encoding import Encoding
from dpsynth.entropy import Stream
from dpsynth.privacy import noise
from dpsynth.records import Records
from dpsynth.schema import Schema

TABLES = ("adult_coded", "nist_acs_national2019", "bank_marketing")
CELLS = 32
DELTA = 1e-9
Output = tuple[Records, tuple[Clique, ...] | None]
Make = Callable[[Records, Records, NDArray[np.bool_], np.random.Generator], Output]
"""Members, reference rows, which columns are ordered -> synthetic rows and, when known, the measured cliques."""


class Table:
    """A real table, each numeric column of many values in 32 equal shares, each other column as it is."""

    def __init__(self, path: Path) -> None:
        frame = pd.read_csv(path).sample(frac=1.0, random_state=0)
        self.name = path.name.split(".")[0]
        codes: dict[str, np.ndarray] = {}
        ordered = []
        for name, column in frame.items():
            many = pd.api.types.is_numeric_dtype(column) and column.nunique() > CELLS
            coded = (
                pd.qcut(column.rank(method="average"), CELLS, duplicates="drop").cat.codes if many else column
            )
            codes[str(name)] = pd.factorize(coded, sort=True)[0].astype(np.int64) + 1
            ordered.append(bool(many) or _is_ordered(self.name, str(name), column))
        kept = [name for name in codes if 1 < codes[name].max() < 300]
        self.ordered = np.array([o for o, name in zip(ordered, codes, strict=True) if name in kept])
        domain = Domain.from_sizes({name: int(codes[name].max()) + 1 for name in kept})
        self.records = Records.of(domain, {name: codes[name] for name in kept})

    def game(
        self, make: Make, members: int, controls: int, rng: np.random.Generator, claim: Claim | None = None
    ) -> Game:
        """A random split; as many reference rows as there are members, fewer when the table is too small."""
        order = rng.permutation(len(self.records))
        pool, rest = order[: members + controls], order[members + controls :][:members]
        member = np.zeros(members + controls, bool)
        member[rng.choice(members + controls, members, replace=False)] = True
        synthetic, cliques = make(self.records.take(pool[member]), self.records.take(rest), self.ordered, rng)
        candidates = Candidates(
            Rows.of_records(self.records.take(pool), self.ordered), np.arange(len(pool)), self.ordered
        )
        view = View(Rows.of_records(synthetic, self.ordered), candidates, float(member.mean()), cliques)
        return Game(view, member, claim, coin=controls / (members + controls))


_ADULT_ORDERED = {"age", "education-num", "capital-gain", "capital-loss", "hours-per-week", "fnlwgt"}


def _is_ordered(table: str, name: str, column: pd.Series) -> bool:
    """Numbers are ordered, but for the codes of the coded Adult table."""
    return name in _ADULT_ORDERED if table == "adult_coded" else pd.api.types.is_numeric_dtype(column)


def tables(folder: Path, wanted: tuple[str, ...] = TABLES) -> Iterator[Table]:
    """Those that are there."""
    for name in wanted:
        path = folder / f"{name}.csv.gz"
        if path.exists():
            yield Table(path)


def fresh(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    return known_leaks.fresh(reference, len(members), rng), None


def independent(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    """Of other people."""
    return known_leaks.independent(reference, len(members), rng), None


def exact_columns(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    """The members' one-way tables, word for word."""
    return known_leaks.independent(members, len(members), rng), None


def copy(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    return members, None


def tree(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    return known_leaks.tree(members, len(members), rng)


def tree_unknown(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    return known_leaks.tree(members, len(members), rng)[0], None


def private_tree(epsilon: float) -> Make:
    """Noisy marginals of a tree that was chosen on reference rows; zCDP priced the classical way."""

    def make(
        members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
    ) -> Output:
        cliques = known_leaks.tree_cliques(reference)
        log = math.log(1 / DELTA)
        rho = (math.sqrt(log + epsilon) - math.sqrt(log)) ** 2
        sigma = math.sqrt((len(cliques) + 1) / (2 * rho))
        return known_leaks.tree(members, len(members), rng, sigma, cliques)

    return make


def copies(share: float, base: Make) -> Make:
    """Output of `base` with members' rows for a share of its own."""

    def make(
        members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
    ) -> Output:
        rows = base(members, reference, ordered, rng)[0]
        return known_leaks.with_copies(rows, members, share, rng), None

    return make


def perturbed(share: float) -> Make:
    """Bootstrap with a share of the cells drawn anew."""

    def make(
        members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
    ) -> Output:
        return known_leaks.perturbed(members, share, len(members), rng), None

    return make


def noisy_numbers(spread: float) -> Make:
    """Bootstrap; every ordered column moved by Gaussian noise of this share of its range, the others as they are."""

    def make(
        members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
    ) -> Output:
        base = known_leaks.fresh(members, len(members), rng)
        columns = list(base.columns)
        for i in np.flatnonzero(ordered):
            top = base.domain.sizes[i] - 1
            moved = np.rint(columns[i] + rng.normal(0, max(1.0, spread * top), len(base)))
            columns[i] = np.clip(moved, 0, top).astype(columns[i].dtype)
        return Records(base.domain, tuple(columns)), None

    return make


def interpolated(
    members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
) -> Output:
    """SMOTE-like (Chawla et al. 2002): between a member and one of its five nearest; categories from either."""
    fine = Rows.of_records(members, ordered).fine
    near = Neighbourhood.of(fine, ordered).nearest(fine, 6)[1]
    first = rng.integers(0, len(members), len(members))
    second = near[first, rng.integers(1, 6, len(members))]
    share = rng.random(len(members))
    columns = []
    for i, column in enumerate(members.columns):
        a, b = column[first].astype(np.float64), column[second].astype(np.float64)
        mixed = np.rint(a + share * (b - a)) if ordered[i] else np.where(rng.random(len(a)) < 0.5, a, b)
        columns.append(mixed.astype(column.dtype))
    return Records(members.domain, tuple(columns)), None


def chained_trees(leaf: int) -> Make:
    """Each column drawn from the leaf of a decision tree on the columns before it (as synthpop does)."""

    def make(
        members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
    ) -> Output:
        n = len(members)
        real, made = members.matrix().astype(np.float32), np.zeros((n, len(members.columns)), np.float32)
        made[:, 0] = rng.choice(real[:, 0], n)
        for i in range(1, real.shape[1]):
            grown = DecisionTreeClassifier(min_samples_leaf=leaf, random_state=int(rng.integers(2**31)))
            grown.fit(real[:, :i], real[:, i])
            made[:, i] = _from_leaves(grown.apply(real[:, :i]), real[:, i], grown.apply(made[:, :i]), rng)
        columns = {name: made[:, i].astype(np.int64) for i, name in enumerate(members.domain.attributes)}
        return Records.of(members.domain, columns), None

    return make


def _from_leaves(
    leaves: np.ndarray, values: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """For each wanted leaf the value of a random member in it."""
    order = np.argsort(leaves, kind="stable")
    first = np.searchsorted(leaves[order], wanted, "left")
    count = np.searchsorted(leaves[order], wanted, "right") - first
    return values[order[first + rng.integers(0, count)]]


@contextmanager
def quiet() -> Iterator[None]:
    """Every integer noise of a fit is 0 inside the block, and choices and batches are drawn as ever: no privacy at all."""
    honest = noise.discrete_gaussian

    def none(sigma: float, shape: int | tuple[int, ...], stream: Stream) -> NDArray[np.int64]:
        del sigma, stream
        return np.zeros(shape, np.int64)

    noise.discrete_gaussian = none
    try:
        yield
    finally:
        noise.discrete_gaussian = honest


def fitted(method: str, epsilon: float) -> Make:
    """Our own generator, every column a category of as many values as it has levels; without noise at infinity."""

    def make(
        members: Records, reference: Records, ordered: NDArray[np.bool_], rng: np.random.Generator
    ) -> Output:
        sizes = zip(members.domain.attributes, members.domain.sizes, strict=True)
        schema = Schema(
            columns={
                name: {"type": "category", "values": [f"v{i}" for i in range(size)]} for name, size in sizes
            }
        )
        words = {name: np.char.add("v", members[name].astype(str)) for name in members.domain.attributes}
        asked = min(epsilon, MAX_EPSILON)
        with quiet() if epsilon > MAX_EPSILON else nullcontext():
            model = dpsynth.fit(pd.DataFrame(words), schema, method=method, epsilon=asked, delta=DELTA)
        made = Encoding(schema).encode(model.sample_table(len(members), rng))
        return Records(members.domain, made.columns), tuple(m.clique for m in model.measurements)

    return make


def models() -> dict[str, tuple[Make, float]]:
    """Every method and budget with the claim that goes with it; without privacy there is none, and no noise."""
    budgets = {"no privacy": math.inf, **{f"epsilon {e:g}": e for e in (100.0, 10.0, 3.0, 1.0)}}
    return {
        f"{method}, {words}": (fitted(method, epsilon), epsilon)
        for method in ("mst", "aim", "tree", "gan")
        for words, epsilon in budgets.items()
    }


NULL: dict[str, Make] = {"fresh rows": fresh, "tree at epsilon 0.1": private_tree(0.1)}
POWER: dict[str, Make] = {
    "1 % copied among independent": copies(0.01, independent),
    "tree, no noise, cliques unknown": tree_unknown,
    "bootstrap, 15 % of cells changed": perturbed(0.15),
}
LEAKY: dict[str, Make] = {
    "copy": copy,
    "bootstrap, 15 % of cells changed": perturbed(0.15),
    "bootstrap, 50 % of cells changed": perturbed(0.5),
    "bootstrap, numbers moved by 10 %": noisy_numbers(0.1),
    "bootstrap, numbers moved by 30 %": noisy_numbers(0.3),
    "interpolated between neighbours": interpolated,
    "chained trees, leaves of 5": chained_trees(5),
    "chained trees, leaves of 30": chained_trees(30),
    "2 % copied among independent": copies(0.02, independent),
    "2 % copied among fresh": copies(0.02, fresh),
    "tree, no noise, cliques unknown": tree_unknown,
    "exact columns, independent": exact_columns,
    "fresh rows": fresh,
}
