"""What a person or the pipeline must say for a release; nothing here is ever invented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth.project import filled, is_day


@dataclass(frozen=True)
class Publication:
    """What is stated of a table that goes to the public: for catalogues and registries. `date`: YYYY-MM-DD."""

    curator: str
    curator_type: str
    region: str
    date: str
    license: str
    sector: str | None = None


@dataclass(frozen=True)
class ReleaseFields:
    """The human part of a bundle: who answers for it, what it is for. Shown word for word, to everybody.

    `review_date`: the day (YYYY-MM-DD) by which somebody looks at the release again. `bounds_decided_by`: who
    decided that each bound and category is public knowledge; one name for all columns, or one for each.
    """

    purpose: str = ""
    recipient: str = ""
    lawful_basis: str = ""
    contact: str = ""
    prohibited_uses: tuple[str, ...] = ()
    title: str = ""  # optional: the heading of the report
    approver: str = ""
    review_date: str = ""
    bounds_decided_by: str | Mapping[str, str] = ""
    publication: Publication | None = None  # optional: for a table that is published

    @property
    def missing(self) -> list[str]:
        """Names of the required fields that are still empty, or no day."""
        optional = {"title", "publication"}
        found = [n for n, value in vars(self).items() if n not in optional and not filled(value)]
        if "review_date" not in found and not is_day(self.review_date):
            found.append("review_date")
        return found

    def undecided(self, columns: Iterable[str]) -> list[str]:
        """Columns for whose bounds nobody is named."""
        if isinstance(self.bounds_decided_by, str):
            return []
        return [name for name in columns if not filled(self.bounds_decided_by.get(name, ""))]

    def decided(self, columns: Iterable[str]) -> dict[str, str]:
        """Who decided the bounds of each column."""
        by = self.bounds_decided_by
        return {name: by if isinstance(by, str) else by.get(name, "") for name in columns}

    def as_json(self) -> dict[str, Any]:
        found = {**vars(self), "prohibited_uses": list(self.prohibited_uses)}
        if not isinstance(self.bounds_decided_by, str):
            found["bounds_decided_by"] = dict(self.bounds_decided_by)
        found["publication"] = None if self.publication is None else asdict(self.publication)
        return found

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ReleaseFields:
        """Of a project's `release` section; unknown keys are a TypeError."""
        rest = {name: value for name, value in fields.items() if value is not None}
        uses: Sequence[str] = rest.pop("prohibited_uses", ())
        if "publication" in rest:
            rest["publication"] = Publication(**rest["publication"])
        return cls(**rest, prohibited_uses=tuple(uses))


ONLY_FOR_SOME = frozenset({"exact row", "ensemble"})
"""Attacks that run when the real rows have something to attack, or are many enough: that they ran says something about
the rows."""


@dataclass(frozen=True)
class AttackRan:
    """What may be said in public of one attack: fixed by the plan, not by the data.

    How many targets it had is the number of units, which is private: it is not said. `wants`: what the attack itself
    declares that it is after; None in bundles of versions that did not say so.
    """

    name: str
    knowledge: str
    wants: str | None = None

    @property
    def fixed(self) -> bool:
        return self.name not in ONLY_FOR_SOME

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class AuditFacts:
    """The public side of the audits of one model: which attacks ran, on how many samples, and that they
    let it pass.

    That they did is a fact about private rows which no noise protects; it is listed as such.
    """

    samples_audited: int
    attacks: tuple[AttackRan, ...]

    @classmethod
    def of(cls, suite: Mapping[str, Any], samples_audited: int) -> AuditFacts:
        """From the suite's result as JSON; takes names, knowledge and aims of its attacks, each once, and
        nothing else; attacks that run on some tables only are left out.
        """
        ran = dict.fromkeys(
            AttackRan(str(a["attack"]), str(a["knows"]), a.get("threat", {}).get("wants"))
            for a in suite.get("attacks", ())
        )
        return cls(samples_audited, tuple(attack for attack in ran if attack.fixed))

    def as_json(self) -> dict[str, Any]:
        return {
            "samples_audited": self.samples_audited,
            "attacks": [attack.as_json() for attack in self.attacks],
            "result": "the policy gate let this release through; rates stay with the owner",
        }
