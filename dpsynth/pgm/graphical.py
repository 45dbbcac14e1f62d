"""A distribution as a product of tables over cliques: marginals, likelihoods, samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.counting import weigh
from dpsynth.domain import Clique, Domain
from dpsynth.errors import CapacityError
from dpsynth.pgm.contraction import Beliefs, Inference
from dpsynth.pgm.elimination import Plan, Scope, plan_contraction
from dpsynth.pgm.queries import Tensor, shared_marginals
from dpsynth.pgm.sampling import Sampler
from dpsynth.records import Records, joined
from dpsynth.threads import one_thread

Floats = NDArray[np.float64]

MAX_QUERY_CELLS = 30_000_000
"""Limit for the cells of one marginal query over attributes that no table holds together."""


SHARED_CELLS = 1 << 21
"""Limit for the tables of queries that are answered together."""

SCORED_RECORDS = (10_000, 250_000)
"""At least and at most so many records are drawn to approximate marginals."""

LOST_MASS = 1e-9
"""Share of the records that may be lost by underflow before a query is answered alone, with care."""


def plan_for(domain: Domain, cliques: Sequence[Clique], keep: Clique = ()) -> Plan:
    """The contraction plan for tables over `cliques` (which cover the domain), remembered for recent structures."""
    index = {a: i for i, a in enumerate(domain.attributes)}
    scopes = tuple(tuple(index[a] for a in clique) for clique in cliques)
    return _plan(domain.sizes, scopes, tuple(index[a] for a in keep))


@lru_cache(maxsize=512)
def _plan(sizes: tuple[int, ...], scopes: tuple[Scope, ...], keep: Scope) -> Plan:
    return plan_contraction(sizes, scopes, keep)


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
        with one_thread():
            return self._inference.run(self._flat)

    @property
    def log_z(self) -> float:
        """Log of the sum over all records of ``exp(sum of potentials)``."""
        return self._beliefs.log_z

    def marginal(self, clique: Clique) -> Floats:
        """Expected counts, shape ``domain.shape(clique)``, summing to `total`; any clique, axes as given.

        Exact: summed from a table that holds the clique, else by eliminating all other variables. CapacityError
        when that would take more than `MAX_QUERY_CELLS`, UsageError for a clique that is none of the domain.
        """
        if not clique:
            return np.array(self.total)
        self.domain.require_named(clique)
        leaf = self._holder(clique)
        if leaf is None:
            return self._outside(clique)
        table = self._inference.flat.table(self._beliefs.marginals, leaf)
        names = self.cliques[leaf]
        summed = table.sum(axis=tuple(k for k, a in enumerate(names) if a not in clique))
        kept = [a for a in names if a in clique]
        return np.ascontiguousarray(summed.transpose([kept.index(a) for a in clique])) * self.total

    @one_thread()
    def marginals(self, cliques: Iterable[Clique]) -> dict[Clique, Floats]:
        """`marginal` of each, with shared work: exact, for hundreds of small cliques at once.

        Where tables of more than `SHARED_CELLS` would arise the query is answered alone.
        """
        asked = list(dict.fromkeys(cliques))
        outside = list(dict.fromkeys(self._numbers(c) for c in asked if self._holder(c) is None))
        answers = self._shared(outside) if len(outside) > 1 else {}
        result: dict[Clique, Floats] = {}
        for clique in asked:
            table = answers.get(self._numbers(clique))
            result[clique] = self.marginal(clique) if table is None else self._named(table, clique)
        return result

    def approximate(self, cliques: Iterable[Clique]) -> dict[Clique, Floats]:
        """`marginal` of each that a table holds; the others as counted on a sample of the model.

        For scoring hundreds of candidates in a model of any width: neither size nor time depends on how far apart
        the attributes of a clique are. The sample has as many records as the total, within `SCORED_RECORDS`, always
        the same ones.
        """
        asked = list(dict.fromkeys(cliques))
        outside = [c for c in asked if c and self._holder(c) is None]
        found: dict[Clique, Floats] = {}
        if outside:
            least, most = SCORED_RECORDS
            rows = int(min(max(self.total, least), most))
            records = self.sample(rows, np.random.default_rng(0))
            found = weigh(records, outside, self.total / rows)
        return {c: found[c] if c in found else self.marginal(c) for c in asked}

    def _shared(self, queries: list[frozenset[int]]) -> dict[frozenset[int], Tensor]:
        """Expected counts of those queries that need no large table and lose nothing in linear numbers."""
        if not self._beliefs.linear:
            return {}
        tops = [float(table.max()) for table in self.potentials.values()]
        factors = [
            Tensor(np.exp(table - top), tuple(self.domain.index(a) for a in clique))
            for (clique, table), top in zip(self.potentials.items(), tops, strict=True)
        ]
        kept: dict[frozenset[int], Tensor] = {}
        for answer in shared_marginals(self.domain.sizes, factors, queries, SHARED_CELLS):
            if answer.table is not None:
                mass = float(answer.table.values.sum())
                log_z = math.log(mass) + answer.log_scale + math.fsum(tops) if mass > 0 else -math.inf
                # what underflowed is missing from the mass
                if abs(log_z - self.log_z) < LOST_MASS:
                    np.multiply(answer.table.values, self.total / mass, out=answer.table.values)
                    kept[answer.query] = answer.table
        return kept

    def _numbers(self, clique: Iterable[str]) -> frozenset[int]:
        return frozenset(self.domain.index(a) for a in clique)

    def _named(self, table: Tensor, clique: Clique) -> Floats:
        axes = [table.axes.index(self.domain.index(a)) for a in clique]
        return np.ascontiguousarray(table.values.transpose(axes))

    def _holder(self, clique: Clique) -> int | None:
        """The smallest table that holds the clique."""
        holders = [i for i, other in enumerate(self.cliques) if set(clique) <= set(other)]
        return min(holders, key=lambda i: self.domain.size(self.cliques[i]), default=None)

    @one_thread()
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
        """`n` records in random order; the same state of `rng` gives the same records.

        Within each group of equal parents the counts of a child's cells are its expected counts rounded
        systematically: no cell is off by one or more, and each is right on average (block by block of
        `sampling.BLOCK` records).
        """
        return joined(list(self.sample_batches(n, rng)))

    def sample_batches(self, n: int, rng: np.random.Generator) -> Iterator[Records]:
        """The records of `sample`, in batches of `sampling.BLOCK` and a rest, made as they are asked for.

        One batch at least, if need be an empty one.
        """
        if n < 0:
            raise ValueError("a number of records")
        # a batch must survive other questions: its tensors are its own
        inference = Inference(self._inference.plan)
        with one_thread():
            sampler = Sampler(inference.forward(self._flat))
        return (Records(self.domain, tuple(columns)) for columns in sampler.blocks(n, rng))

    def conditioned(self, weights: Mapping[str, Floats]) -> GraphicalModel:
        """The distribution given evidence: each cell's probability times ``weights[attribute][cell]``, normalised.

        A weight, 0 to 1 and of shape ``(domain[attribute],)``, is the share of the cell's records that the evidence
        allows. The total is the expected number of records that meet it. Raises ValueError when none can.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = {a: np.log(np.asarray(w, dtype=np.float64)) for a, w in weights.items()}
        tables = dict(self.potentials)
        for attribute, log in logs.items():
            if log.shape != self.domain.shape((attribute,)) or not (log <= 0).all():
                raise ValueError(f"the weights of {attribute} are no shares of its cells")
            holder = min((c for c in tables if attribute in c), key=self.domain.size)
            axis = holder.index(attribute)
            tables[holder] = tables[holder] + np.expand_dims(
                log, [k for k in range(len(holder)) if k != axis]
            )
        given = GraphicalModel(self.domain, self.total, tables)
        # log Z is a logarithm of a float64 at best: shares below e^-700 are none
        share = math.exp(given.log_z - self.log_z)
        if not share > 0:
            raise ValueError("the evidence leaves no possible record")
        given.total = self.total * min(1.0, share)
        return given

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
