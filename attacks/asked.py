"""What the owner of the data asks to be looked at, and the attacks that this calls for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attacks.disclosure import InferByLearning, InferByNearest, Linkability, SinglingOut
from attacks.membership.classifier import Classifier
from attacks.membership.density import DensityRatio, MonteCarlo
from attacks.membership.ensemble import Ensemble
from attacks.membership.joins import Join
from attacks.membership.marginals import GuessedTree, MarginalRatio, ThreeWayRatio
from attacks.reidentification.linkage import LinkByKnown, RatioTest
from attacks.reidentification.nearest import CloserThanPeople, ClosestRecord
from attacks.reidentification.origin import Origin
from attacks.threat import Attack, Combination, View
from dpsynth.errors import AuditError

AnyAttack = Attack | Combination

DEFAULT = "default"
"""Stands for the default set in a list of attacks."""

EXTENDED = "extended"
"""Stands for the default set and the published attacks that it replaces: they find no more, but some ask for them."""


@dataclass(frozen=True)
class Asked:
    """Column names. `secrets`: what nobody may learn about a target; `quasi_identifiers`: what an attacker may
    know of him (without any, all columns but the secret); `groups`: whose cells are looked at by themselves.
    """

    secrets: tuple[str, ...] = ()
    quasi_identifiers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def check(self, names: Sequence[str]) -> None:
        """AuditError A109 when one of them is no modelled column."""
        for what, columns in vars(self).items():
            strange = sorted(set(columns) - set(names))
            if strange:
                said = what.replace("_", "-")
                raise AuditError(
                    "A109", f"{said} name the unknown column '{strange[0]}'", "name modelled columns"
                )

    def known(self, secret: str, names: Sequence[str]) -> tuple[str, ...]:
        """What the attacker on this secret knows of his target."""
        return tuple(name for name in (self.quasi_identifiers or names) if name != secret)


def default_attacks(view: View, asked: Asked | None = None) -> tuple[AnyAttack, ...]:
    """The default set for what this attacker holds and for what was asked; what matters most comes first."""
    disclosure = _disclosure(view.synthetic.cells.domain.attributes, asked or Asked())
    return (*_membership(view), *disclosure, Ensemble())


def _membership(view: View) -> list[AnyAttack]:
    rows = "looks for a synthetic row"
    chosen: list[AnyAttack] = [
        Join("exact cells", f"{rows} in all the target's cells"),
        MarginalRatio(),
        Origin(),
        ClosestRecord(),
        CloserThanPeople(),
        Join("all cells but one", f"{rows} in all the target's cells but one", mismatches=1),
        ThreeWayRatio(),
        DensityRatio(),
        Classifier(),
    ]
    if view.has_finer_values:
        chosen.insert(0, Join("exact row", f"{rows} with the target's values, word for word", cells=False))
    if view.cliques:
        chosen.insert(1, MarginalRatio("marginal ratio, cliques known", known=True))
    elif len(view.synthetic.cells.domain) > 2:
        chosen.insert(1, GuessedTree())
    return chosen


def _disclosure(names: tuple[str, ...], asked: Asked) -> list[AnyAttack]:
    chosen: list[AnyAttack] = [SinglingOut()]
    if len(names) > 1:
        chosen.append(SinglingOut("single out by several columns", several=True))
    for secret in asked.secrets:
        known = asked.known(secret, names)
        if known:
            chosen += [InferByNearest(secret, known), InferByLearning(secret, known)]
    others = tuple(name for name in names if name not in asked.quasi_identifiers)
    if asked.quasi_identifiers and others:
        chosen.append(Linkability(asked.quasi_identifiers, others))
    return chosen


def further(view: View, asked: Asked) -> list[AnyAttack]:
    """What the extended set has beside the default one."""
    more: list[AnyAttack] = [MonteCarlo(), RatioTest()]
    names = view.synthetic.cells.domain.attributes
    if asked.quasi_identifiers and len(asked.quasi_identifiers) < len(names):
        more.append(LinkByKnown(asked.quasi_identifiers))
    return more


def parted(attacks: Sequence[AnyAttack]) -> tuple[list[Attack], list[Combination]]:
    """Those that look at the synthetic rows, and those that weigh what the others found; each in its order."""
    together = [attack for attack in attacks if not callable(attack)]
    return [attack for attack in attacks if callable(attack)], together


def resolved(attacks: Sequence[AnyAttack | str] | None, view: View, asked: Asked) -> tuple[AnyAttack, ...]:
    """The attacks to run: None and "default" stand for the default set. AuditError A107 when two share a name."""
    listed: list[AnyAttack] = []
    for attack in [DEFAULT] if attacks is None else attacks:
        if attack in (DEFAULT, EXTENDED):
            listed += default_attacks(view, asked)
            listed += further(view, asked) if attack == EXTENDED else []
        elif isinstance(attack, str):
            raise AuditError(
                "A110", f"there is no attack {attack!r}", "give attack objects, 'default' or 'extended'"
            )
        else:
            listed.append(attack)
    if not listed or len({attack.name for attack in listed}) < len(listed):
        raise AuditError("A107", "no attacks, or two of the same name", "give each attack a name of its own")
    return tuple(listed)
