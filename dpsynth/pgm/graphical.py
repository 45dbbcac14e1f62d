"""A distribution as a product of tables over cliques: marginals, likelihoods, samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.errors import CapacityError
from dpsynth.pgm.contraction import Beliefs, Inference
from dpsynth.pgm.elimination import Plan, plan_contraction
from dpsynth.pgm.sampling import sample_codes
from dpsynth.records import Records, code_dtype

Floats = NDArray[np.float64]

MAX_QUERY_CELLS = 30_000_000
"""Limit for the cells of one marginal query over attributes that no table holds together."""


def plan_for(domain: Domain, cliques: Sequence[Clique], keep: Clique = ()) -> Plan:
    """The contraction plan for tables over `cliques` (which cover the domain)."""
    index = {a: i for i, a in enumerate(domain.attributes)}
    scopes = [tuple(index[a] for a in clique) for clique in cliques]
    return plan_contraction(domain.sizes, scopes, tuple(index[a] for a in keep))


class GraphicalModel:
    """``p(x) = exp(sum over cliques of potentials[clique][x_clique]) / Z``, scaled to `total` records.

    `potentials` are natural logarithms, shape ``domain.shape(clique)``; -inf marks cells that cannot be. The
    cliques cover the domain. Its working memory is shared by all questions: one thread at a time.
    """

    kind: ClassVar[str] = "graphical"

    def __init__(self, domain: Domain, total: float, potentials: Mapping[Clique, Floats]) -> None:
        if not (np.isfinite(total) and total > 0):
            raise ValueError("the total is positive")
        if {a for clique in potentials for a in clique} != set(domain.attributes):
            raise ValueError("the cliques cover the domain")
        for clique, table in potentials.items():
            if table.shape != domain.shape(clique):
                raise ValueError(f"the table of {clique} has not the domain's shape")
            if not (table < np.inf).all():
                raise ValueError(f"the table of {clique} holds what is no logarithm")
        self.domain = domain
        self.total = float(total)
        self.potentials: dict[Clique, Floats] = dict(potentials)

    @property
    def cliques(self) -> tuple[Clique, ...]:
        return tuple(self.potentials)

    @cached_property
    def _inference(self) -> Inference:
        return Inference(plan_for(self.domain, self.cliques))

    @cached_property
    def _flat(self) -> Floats:
        return self._flattened(self._inference)

    def _flattened(self, inference: Inference) -> Floats:
        vector = np.empty(inference.flat.cells)
        for i, table in enumerate(self.potentials.values()):
            inference.flat.table(vector, i)[...] = table
        return vector

    @cached_property
    def _beliefs(self) -> Beliefs:
        return self._inference.run(self._flat)

    @property
    def log_z(self) -> float:
        """Log of the sum over all records of ``exp(sum of potentials)``."""
        return self._beliefs.log_z

    def marginal(self, clique: Clique) -> Floats:
        """Expected counts, shape ``domain.shape(clique)``, summing to `total`; any clique, axes as given.

        Exact: summed from a table that holds the clique, else by eliminating all other variables. Raises
        CapacityError when that would take more than `MAX_QUERY_CELLS`.
        """
        if not clique:
            return np.array(self.total)
        holders = [i for i, other in enumerate(self.cliques) if set(clique) <= set(other)]
        if not holders:
            return self._outside(clique)
        leaf = min(holders, key=lambda i: self.domain.size(self.cliques[i]))
        table = self._inference.flat.table(self._beliefs.marginals, leaf)
        names = self.cliques[leaf]
        summed = table.sum(axis=tuple(k for k, a in enumerate(names) if a not in clique))
        kept = [a for a in names if a in clique]
        return np.ascontiguousarray(summed.transpose([kept.index(a) for a in clique])) * self.total

    def marginals(self, cliques: Iterable[Clique]) -> dict[Clique, Floats]:
        """`marginal` of each."""
        return {clique: self.marginal(clique) for clique in cliques}

    def _outside(self, clique: Clique) -> Floats:
        plan = plan_for(self.domain, self.cliques, keep=clique)
        cells = plan.room
        if cells > MAX_QUERY_CELLS:
            raise CapacityError(
                "C102",
                f"the marginal of {len(clique)} attributes needs {cells:.3g} cells",
                "ask for fewer attributes",
            )
        inference = Inference(plan)
        forward = inference.forward(self._flattened(inference))
        (root,) = plan.roots
        table = forward.inputs[root].reshape(self.domain.shape(clique))
        weights = table if forward.linear else np.exp(table - table.max())
        return np.asarray(weights * (self.total / weights.sum()), dtype=np.float64)

    def log_likelihood(self, records: Records) -> Floats:
        """Natural log of each record's probability, shape (records,)."""
        logs = np.full(len(records), -self.log_z)
        for clique, table in self.potentials.items():
            logs += table[tuple(records[a] for a in clique)]
        return logs

    def sample(self, n: int, rng: np.random.Generator) -> Records:
        """`n` records in random order.

        Within each group of equal parents the counts of a child's cells are its expected counts rounded
        systematically: no cell is off by one or more, and each is right on average.
        """
        if n < 0:
            raise ValueError("a number of records")
        columns = sample_codes(self._inference.forward(self._flat), n, rng)
        return Records(
            self.domain,
            tuple(
                c.astype(code_dtype(s), copy=False) for c, s in zip(columns, self.domain.sizes, strict=True)
            ),
        )

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """(facts for JSON, arrays): everything `from_state` needs."""
        facts = {
            "attributes": list(self.domain.attributes),
            "sizes": list(self.domain.sizes),
            "total": self.total,
            "cliques": [list(clique) for clique in self.cliques],
        }
        return facts, {f"potential_{i}": table for i, table in enumerate(self.potentials.values())}

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], arrays: Mapping[str, Floats]) -> GraphicalModel:
        """The inverse of `state`; raises KeyError, TypeError or ValueError for what `state` never wrote."""
        domain = Domain(tuple(facts["attributes"]), tuple(int(s) for s in facts["sizes"]))
        tables = {
            tuple(c): np.asarray(arrays[f"potential_{i}"], float) for i, c in enumerate(facts["cliques"])
        }
        return cls(domain, float(facts["total"]), tables)
