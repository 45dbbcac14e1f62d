"""How the account stands when a bundle is written: what everything together has cost, and which bundles came before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.receipt import Receipt, Total

Json = dict[str, Any]


@dataclass(frozen=True)
class Predecessor:
    """An earlier bundle about the same people, from another model."""

    bundle_id: str
    model_id: str
    withdrawn: bool


@dataclass(frozen=True)
class Standing:
    """`spent`: everything reserved or entered in the ledger so far. Bundles of the same model are no predecessors:
    they show the same model, and cost nothing."""

    spent: Total
    predecessors: tuple[Predecessor, ...] = ()

    @classmethod
    def of(cls, ledger: Ledger, model_id: str) -> Standing:
        known: dict[str, Predecessor] = {}
        for one in ledger.releases():
            if one.model_id != model_id:
                gone = one.withdrawn is not None
                known[one.bundle_id] = Predecessor(one.bundle_id, one.model_id, gone)
        return cls(ledger.spent(), tuple(known.values()))

    @classmethod
    def alone(cls, receipt: Receipt) -> Standing:
        """Of a model whose run was the last."""
        return cls(receipt.spent_after)

    def as_json(self) -> Json:
        """Two entries of privacy.json's `ledger` part."""
        spent = self.spent
        return {
            "spent_at_release": {"epsilon": spent.epsilon, "mu": spent.mu, "d0": spent.d0},
            "predecessors": [asdict(one) for one in self.predecessors],
        }

    @classmethod
    def from_json(cls, ledger: Mapping[str, Any]) -> Standing:
        found = tuple(Predecessor(**one) for one in ledger["predecessors"])
        return cls(Total(**ledger["spent_at_release"]), found)
