"""checklist.md: three frameworks, point by point: the evidence in this bundle, or "not claimed".

The points are those of NIST SP 800-226 (its pyramid, from the promise down to what it stands on), of Opinion 05/2014 of
the Article 29 Working Party (WP29; its three risks) and of ISO/IEC 27559:2022 (its clauses 6 to 9), in our own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dpsynth.release.audited import quoted
from dpsynth.release.dossier.markdown import page, table, text
from dpsynth.release.facts import percent
from dpsynth.release.privacy_json import tool
from dpsynth.unit_columns import several

if TYPE_CHECKING:
    from dpsynth.release.dossier import Material

NOT = "not claimed"
Point = tuple[str, str, str]
HEADER = ("Point", "Claim", "Evidence, or why not")
AT_RATE = 0.01


def checklist(material: Material) -> bytes:
    """The whole page."""
    return page(
        [
            "# Checklist",
            text(
                "Each line is a point that somebody may ask about. Evidence stands in this bundle and can be checked "
                "offline with dpsynth verify. What nobody checked is not claimed; a person may add it elsewhere."
            ),
            "## NIST SP 800-226: the pyramid, from the promise down",
            table(HEADER, nist(material)),
            "## WP29 Opinion 05/2014: three risks",
            table(HEADER, wp29(material.privacy)),
            "## ISO/IEC 27559:2022",
            table(HEADER, iso27559(material)),
            text("The bundle makes no statement about the law that applies to it: that is for its approver."),
        ]
    )


def _evidence(name: str, words: str) -> Point:
    return name, "evidence", words


def _not(name: str, why: str) -> Point:
    return name, NOT, why


def nist(material: Material) -> list[Point]:
    """Parameters, unit, algorithms, then what the promise stands on."""
    privacy = material.privacy
    return [*_promise(privacy), *_algorithms(privacy), *_foundation(material)]


def _promise(privacy: Mapping[str, Any]) -> list[Point]:
    g, unit, ledger = privacy["guarantee"], privacy["unit"], privacy["ledger"]
    promise, at_release = ledger["promise"], ledger["spent_at_release"]
    return [
        _evidence(
            "Privacy parameters",
            f"epsilon {g['epsilon']:.4g}, delta {g['delta']:g} by {g['accountant']} ({g['theorem']}); the whole curve and "
            "every charge are in privacy.json",
        ),
        _evidence(
            "Composition over releases",
            f"one ledger for {ledger['dataset']}: everything together has cost epsilon {at_release['epsilon']:.4g} of the "
            f"promised {promise['epsilon']:g} at delta {promise['delta']:g}; {len(ledger['predecessors'])} earlier bundles "
            "of other models are named",
        ),
        _evidence("Unit of privacy", f"one {unit['entity']}: {unit['enforced']}"),
        _evidence("Neighbours", f"{privacy['neighbours']['relation']}: {privacy['neighbours']['words']}"),
    ]


def _algorithms(privacy: Mapping[str, Any]) -> list[Point]:
    kinds = dict.fromkeys(charge["mechanism"].partition(" (")[2].rstrip(")") for charge in privacy["charges"])
    return [
        _evidence(
            "Algorithms",
            f"method {privacy['model']['method']}; charges by {', '.join(kind for kind in kinds if kind) or 'events'}; "
            "noise and sensitivity of each are in privacy.json",
        ),
        _evidence(
            "Floating point",
            f"{privacy['guarantee']['noise']}; counts and noise are integers",
        ),
        _evidence(
            "Accuracy",
            "report.html bounds the error that the noise makes in every measured table; combinations that were not "
            "measured have no bound",
        ),
        _evidence(
            "Data-independent facts",
            f"bounds and categories of {len(privacy['bounds'])} columns, with origin",
        ),
        _not(
            "Bias",
            "noise weighs most on small groups; nobody examined systemic, human or statistical bias here",
        ),
        _not(
            "Proof of the implementation",
            "the tool is tested against planted faults; no machine has proved it",
        ),
        _audit(privacy),
    ]


def _audit(privacy: Mapping[str, Any]) -> Point:
    """Of this software version on made-up tables; audits on the owner's rows stay with the owner."""
    name = "Audit of the implementation"
    # the record that is packaged here is this build's, and no other one's
    version = privacy["tool"]["version"] if privacy["tool"] == tool() else ""
    words = quoted(version, privacy["model"]["method"])
    return (
        _not(name, "this version of the method has no published audit")
        if words is None
        else _evidence(name, words)
    )


def _foundation(material: Material) -> list[Point]:
    return [
        _evidence(
            "Trust model",
            "central: the owner of the source sees the rows, recipients see this folder; the public account of what is "
            f"not protected lists {len(material.privacy['unprotected_quantities'])} quantities",
        ),
        _not(
            "Timing and other side channels",
            "run times and memory of the private steps are not shown, nor bounded",
        ),
        _not("Security and access control", "how the source is kept is its owner's to state"),
        _not(
            "Data collection exposure",
            "how the source was collected, and who else has it, is not known to the tool",
        ),
    ]


def wp29(privacy: Mapping[str, Any]) -> list[Point]:
    """Singling out, linkability, inference: the bound, and the attacks of that kind that ran."""
    entity = privacy["unit"]["entity"]
    row = next(r for r in privacy["attacker"] if r["false_positive_rate"] == AT_RATE)
    bound = percent(row["true_positive_rate_at_most"])
    return [
        _evidence(
            "Singling out",
            f"whether one {entity} is in the source: somebody who knows everything else recognises at most {bound} of "
            f"{several(entity)} for {percent(AT_RATE)} wrongly accused. {_ran(privacy, 'singling out')}",
        ),
        _evidence(
            "Linkability",
            f"the same bound holds for joining a {entity} of another table to this one, whatever that table holds. "
            f"{_ran(privacy, 'linkage')}",
        ),
        _evidence(
            "Inference",
            f"what is learnt about a {entity} because it took part is bounded by epsilon; what holds for people in "
            f"general is learnt about everybody and is not bounded. {_ran(privacy, 'an attribute')}",
        ),
    ]


def _ran(privacy: Mapping[str, Any], wants: str) -> str:
    """The attacks that declare this aim (`attacks.Wants`)."""
    names = [a["name"] for a in privacy["audits"]["attacks"] if a.get("wants") == wants]
    return (
        f"Attacks of this kind that ran: {', '.join(names)}" if names else "No attack that ran was after this"
    )


def iso27559(material: Material) -> list[Point]:
    """Clauses 6 to 9."""
    human, privacy = material.human, material.privacy
    attacks = len(privacy["audits"]["attacks"])
    policy = privacy["gate"]["policy"]
    return [
        _evidence(
            "6.2 Threat modelling", "an attacker who knows all other rows, this bundle, and has any computer"
        ),
        _not(
            "6.2 Recipient's security practices",
            f"stated recipient: {human['recipient']}; nobody assessed them",
        ),
        _evidence("6.3 Transparency", "this folder may be shared: model card, checklist, every charge"),
        _not("6.3 Harms to people", "an assessment of harms is not part of this bundle"),
        _evidence(
            "7.2 Data features",
            f"{len(material.schema.written)} columns declared in schema.yaml; direct identifiers are made up or left out",
        ),
        _evidence(
            "7.3 Attack modelling", "worst case over all attackers: the trade-off curve in report.html"
        ),
        _evidence(
            "8.2 Quantifying identifiability",
            f"epsilon {privacy['guarantee']['epsilon']:.4g} for one {privacy['unit']['entity']}",
        ),
        _evidence(
            "8.2 Adversarial testing",
            f"{attacks} kinds of attack ran on the released rows and the gate let them pass; rates stay with the owner",
        ),
        _evidence(
            "8.3 Mitigation", "no row is taken from the source: all are drawn from a model of noisy counts"
        ),
        _evidence(
            "9.2 Roles", f"approved by {human['approver']}; contact: {human['contact']}; rules: {policy}"
        ),
        _evidence("9.4 Review", f"to be looked at again by {human['review_date']}"),
        _not("9.3 Conduct of recipients", "prohibited uses are stated; how they are enforced is not"),
    ]
