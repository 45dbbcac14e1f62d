"""A mixture of product distributions: what a neural generator becomes when its noise is fixed.

``p(x) = sum over components k of weights[k] * product over attributes a of tables[a][k, x_a]``

A table of logits, or a network on fixed noise with a softmax for each column, is such a mixture. NumPy alone stores it,
samples it and answers exactly for any clique, so that nothing of the training is needed afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.errors import CapacityError
from dpsynth.pgm import sampling
from dpsynth.pgm.graphical import MAX_QUERY_CELLS
from dpsynth.records import Codes, Records, joined
from dpsynth.threads import one_thread

Floats = NDArray[np.float64]
Table = NDArray[np.floating[Any]]

WORK_CELLS = 1 << 22
"""Cells of intermediate tables that are made at once."""

LOOSE = 1e-5
"""How far probabilities may be from summing to 1 before they are refused; they are then divided by their sum."""


class MixtureModel:
    """`weights` (components,) and, per attribute, `tables` (components, cells): probabilities, scaled to `total` records.

    The probabilities of each component's cells, and the weights, sum to 1 within `LOOSE`. Arrays are kept as they come
    (float32 halves a file) and read in double precision, normalised.
    """

    kind: ClassVar[str] = "mixture"

    def __init__(self, domain: Domain, total: float, weights: Table, tables: Mapping[str, Table]) -> None:
        if not (np.isfinite(total) and total > 0):
            raise ValueError("the total is positive")
        if not len(domain) or list(tables) != list(domain.attributes):
            raise ValueError("a table for each attribute, in the domain's order")
        if weights.ndim != 1 or not _are_shares(weights[None]):
            raise ValueError("the weights of components are shares that sum to 1")
        for attribute, table in tables.items():
            if table.shape != (len(weights), domain[attribute]) or not _are_shares(table):
                raise ValueError(f"the table of {attribute!r} is no distribution for each component")
        self.domain = domain
        self.total = float(total)
        self.weights = weights
        self.tables: dict[str, Table] = dict(tables)

    @property
    def components(self) -> int:
        return len(self.weights)

    @property
    def cliques(self) -> tuple[Clique, ...]:
        """One of all attributes: no table is held whose cells are counts."""
        return (self.domain.attributes,)

    def _shares(self, attribute: str) -> Floats:
        return _normalised(self.tables[attribute])

    def _mix(self) -> Floats:
        mix: Floats = _normalised(self.weights[None])[0]
        return mix

    @one_thread()
    def marginal(self, clique: Clique) -> Floats:
        """Expected counts, shape ``domain.shape(clique)``, summing to `total`; any clique, axes as given.

        Exact: one matrix product over components. Raises CapacityError for more than `MAX_QUERY_CELLS` cells,
        UsageError for a clique that is none of the domain.
        """
        if not clique:
            return np.array(self.total)
        self.domain.require_named(clique)
        cells = self.domain.size(clique)
        if cells > MAX_QUERY_CELLS:
            raise CapacityError(
                "C104",
                f"the marginal of {len(clique)} attributes needs {cells:.3g} cells",
                "ask for fewer attributes",
            )
        last = max(range(len(clique)), key=lambda axis: self.domain[clique[axis]])
        order = [a for a in clique if a != clique[last]]
        right, left = self._shares(clique[last]), [self._shares(a) for a in order]
        found = np.zeros((cells // self.domain[clique[last]], self.domain[clique[last]]))
        step = max(1, WORK_CELLS // found.shape[0])
        mix = self._mix() * self.total
        for start in range(0, self.components, step):
            part = slice(start, start + step)
            found += _outer(mix[part], [table[part] for table in left]).T @ right[part]
        return np.moveaxis(found.reshape([*(self.domain[a] for a in order), -1]), -1, last).copy()

    def marginals(self, cliques: Iterable[Clique]) -> dict[Clique, Floats]:
        """`marginal` of each."""
        return {clique: self.marginal(clique) for clique in dict.fromkeys(cliques)}

    def approximate(self, cliques: Iterable[Clique]) -> dict[Clique, Floats]:
        """`marginals`: exact answers are cheap here."""
        return self.marginals(cliques)

    def log_likelihood(self, records: Records) -> Floats:
        """Natural log of each record's probability, shape (records,)."""
        with np.errstate(divide="ignore"):
            logs = {a: np.log(self._shares(a)) for a in self.domain.attributes}
            mix = np.log(self._mix())
        found = np.empty(len(records))
        step = max(1, WORK_CELLS // self.components)
        for start in range(0, len(records), step):
            part = slice(start, start + step)
            joint = np.repeat(mix[:, None], len(found[part]), axis=1)
            for attribute, table in logs.items():
                joint += table[:, records[attribute][part]]
            found[part] = np.logaddexp.reduce(joint, axis=0)
        return found

    def conditioned(self, weights: Mapping[str, Floats]) -> MixtureModel:
        """The distribution given evidence: each cell's probability times ``weights[attribute][cell]``, normalised.

        A weight, 0 to 1 and of shape ``(domain[attribute],)``, is the share of the cell's records that the evidence
        allows. A component's weight is multiplied by its probability of the evidence; the total is the expected number of
        records that meet it. Raises ValueError when none can.
        """
        tables: dict[str, Table] = dict(self.tables)
        with np.errstate(divide="ignore"):
            log_mix = np.log(self._mix())
        for attribute, share in weights.items():
            if share.shape != self.domain.shape((attribute,)) or not ((share >= 0) & (share <= 1)).all():
                raise ValueError(f"the weights of {attribute} are no shares of its cells")
            met = self._shares(attribute) * share
            mass = met.sum(axis=1)
            with np.errstate(divide="ignore"):
                log_mix = log_mix + np.log(mass)
            # a component that cannot meet the evidence has no weight: any distribution will do
            met[mass <= 0] = self._shares(attribute)[mass <= 0]
            tables[attribute] = _normalised(met)
        log_share = float(np.logaddexp.reduce(log_mix))
        if not math.exp(log_share) > 0:
            raise ValueError("the evidence leaves no possible record")
        total = self.total * min(1.0, math.exp(log_share))
        return MixtureModel(self.domain, total, np.exp(log_mix - log_share), tables)

    def sample(self, n: int, rng: np.random.Generator) -> Records:
        """`n` records in random order; the same state of `rng` gives the same records.

        How many records each component gives, and inside it how often each cell of a column occurs, are the expected
        numbers rounded systematically: none is off by one or more, each is right on average.
        """
        return joined(list(self.sample_batches(n, rng)))

    def sample_batches(self, n: int, rng: np.random.Generator) -> Iterator[Records]:
        """The records of `sample`, in batches of `sampling.BLOCK` and a rest, made as they are asked for.

        One batch at least, if need be an empty one.
        """
        if n < 0:
            raise ValueError("a number of records")
        sizes = [min(sampling.BLOCK, n - start) for start in range(0, max(n, 1), sampling.BLOCK)]
        return (self._batch(size, rng) for size in sizes)

    def _batch(self, n: int, rng: np.random.Generator) -> Records:
        one_group = np.zeros(n, dtype=np.uint8)
        component = sampling.deal(one_group, self._mix()[None], rng)
        columns: list[Codes] = [
            sampling.deal(component, self._shares(a), rng) for a in self.domain.attributes
        ]
        return Records(self.domain, tuple(columns))

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(facts for JSON, arrays): everything `from_state` needs."""
        facts = {
            "attributes": list(self.domain.attributes),
            "sizes": list(self.domain.sizes),
            "total": self.total,
        }
        tables = {f"table_{i}": table for i, table in enumerate(self.tables.values())}
        return facts, {"weights": self.weights, **tables}

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> MixtureModel:
        """The inverse of `state`; raises KeyError, TypeError or ValueError for what `state` never wrote."""
        domain = Domain(tuple(facts["attributes"]), tuple(int(s) for s in facts["sizes"]))
        tables = {a: _read(arrays[f"table_{i}"]) for i, a in enumerate(domain.attributes)}
        return cls(domain, float(facts["total"]), _read(arrays["weights"]), tables)


def _outer(weights: Floats, tables: list[Floats]) -> Floats:
    """Products of one cell of each table, shape (components, cells of all but the last attribute together)."""
    found = weights[:, None]
    for table in tables:
        found = (found[:, :, None] * table[:, None, :]).reshape(len(found), -1)
    return found


def _are_shares(table: Table) -> bool:
    """Whether each row is a distribution, but for rounding."""
    if not table.size or not np.isfinite(table).all() or table.min() < 0:
        return False
    return bool(np.abs(table.sum(axis=1, dtype=np.float64) - 1.0).max() <= LOOSE)


def _normalised(table: Table) -> Floats:
    found = table.astype(np.float64)
    found /= found.sum(axis=1, keepdims=True)
    return found


def _read(array: Any) -> Table:
    if array.dtype not in (np.float32, np.float64):
        raise ValueError("probabilities are floating-point numbers")
    return np.asarray(array)
