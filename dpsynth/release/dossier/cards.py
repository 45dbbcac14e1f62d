"""model_card.md for whoever uses the rows, sign_here.md for whoever answers for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpsynth.release.dossier.markdown import bullets, page, table, text
from dpsynth.release.facts import attacker_number, columns, not_protected, percent, title

if TYPE_CHECKING:
    from dpsynth.release.dossier import Material

SOME = 200
"""Columns shown; schema.yaml has them all."""


def model_card(material: Material) -> bytes:
    """What the rows are, what they are for, how they were made, how far to trust them."""
    privacy, human = material.privacy, material.human
    return page(
        [
            f"# {text(title(privacy))}",
            text(
                "Every row is made up. The rows follow counts that were taken from real rows with random noise "
                "(differential privacy). Generated from privacy.json; what people stated stands under 'Stated by people'."
            ),
            "## In short",
            table(("Fact", "Value"), _facts(material)),
            "## Stated by people",
            table(("Field", "Statement"), _stated(human)),
            "Not to be used for:",
            bullets(human["prohibited_uses"]),
            "## What is protected, and what not",
            text(_promise(privacy)),
            bullets(_unprotected(privacy)),
            "## How it was made",
            table(("Charge", "Mechanism", "Noise", "Share of the cost"), _charges(privacy)),
            "## Columns",
            table(("Column", "Type", "Declared", "Origin", "Decided by"), _columns(material)),
            text(f"and {len(material.schema.written) - SOME} more in schema.yaml")
            if len(material.schema.written) > SOME
            else "",
            *_figures(privacy),
            "## Earlier releases about the same people",
            _predecessors(privacy),
            "## How to check it",
            text(
                "dpsynth verify on this folder, offline: every file against manifest.json, every value against schema.yaml, "
                "the charges priced again, this page made again. Add --key with the publisher's key to know who signed."
            ),
        ]
    )


def sign_here(material: Material) -> bytes:
    """One page for the approver: what the signature says, and what it does not."""
    privacy, human = material.privacy, material.human
    g, ledger, unit = privacy["guarantee"], privacy["ledger"], privacy["unit"]
    at_release, promise = ledger["spent_at_release"], ledger["promise"]
    return page(
        [
            "# What you sign",
            text(f"{title(privacy)}, for {human['recipient']}. Approved by {human['approver']}."),
            "## By signing you state",
            bullets(
                [
                    f"The purpose is: {human['purpose']}. The lawful basis is: {human['lawful_basis']}.",
                    "The bounds and categories in schema.yaml are public knowledge, decided by those named in the model "
                    f"card; {_inspected(privacy)}.",
                    f"What one {unit['entity']} is, was declared rightly: {unit['enforced']}.",
                    f"The ledger '{ledger['dataset']}' is the only account of these people, and everything that was "
                    "released about them is in it.",
                    f"You accept that an attacker gains at most this much: {_gain(privacy)}",
                    f"Somebody looks at this release again by {human['review_date']}; questions go to {human['contact']}.",
                ]
            ),
            "## The tool states, and anybody can check",
            bullets(
                [
                    f"This release costs epsilon {g['epsilon']:.4g} at delta {g['delta']:g}; everything so far together "
                    f"{at_release['epsilon']:.4g} of the {promise['epsilon']:g} that was promised for ever.",
                    f"{material.rows} synthetic rows in {material.data_file}, sha256 {material.data_sha256}.",
                    f"Rules that held before release: {privacy['gate']['policy']}.",
                    f"Earlier bundles of other models about the same people: {len(ledger['predecessors'])}.",
                ]
            ),
            "## Nobody states",
            bullets(
                [
                    "That the rows are anonymous in the sense of a law: that is a judgement, and yours.",
                    "That attacks which were not tried would have failed; the bound above holds for all of them, if the "
                    "code does what it should.",
                    *not_protected(unit),
                ]
            ),
            "## How",
            text(
                "Sign with dpsynth release --sign KEY (or run --sign KEY). The signature is attestation.dsse.json; it "
                "covers manifest.json, and with it every byte of this folder. Recipients get the public key by another way."
            ),
        ]
    )


def _facts(material: Material) -> list[tuple[str, object]]:
    privacy = material.privacy
    g, unit, ledger = privacy["guarantee"], privacy["unit"], privacy["ledger"]
    return [
        ("Rows, columns", f"{material.rows}, {len(material.schema.written)}"),
        ("Epsilon, delta", f"{g['epsilon']:.4g}, {g['delta']:g}"),
        ("Protected unit", f"one {unit['entity']}, at most {unit['rows_per_unit']} rows of each"),
        ("Method", privacy["model"]["method"]),
        ("Model", privacy["model"]["id"]),
        ("Account", f"{ledger['dataset']}, run {ledger['run']}"),
        ("All releases together", f"epsilon {ledger['spent_at_release']['epsilon']:.4g}"),
        (
            "Promised for ever",
            f"epsilon {ledger['promise']['epsilon']:g} at delta {ledger['promise']['delta']:g}",
        ),
        ("Data file", f"{material.data_file}, {material.data_bytes} bytes, sha256 {material.data_sha256}"),
        ("Written by", f"{privacy['tool']['name']} {privacy['tool']['version']}"),
    ]


def _stated(human: Mapping[str, Any]) -> list[tuple[str, object]]:
    found = [
        ("Purpose", human["purpose"]),
        ("Recipient", human["recipient"]),
        ("Lawful basis", human["lawful_basis"]),
        ("Contact", human["contact"]),
        ("Approved by", human["approver"]),
        ("To be reviewed by", human["review_date"]),
    ]
    publication = human["publication"]
    if publication is None:
        return [*found, ("Publication", "not claimed: no licence, region or date of publication was stated")]
    return [
        *found,
        ("Published by", f"{publication['curator']} ({publication['curator_type']})"),
        ("Published on", publication["date"]),
        ("Region", publication["region"]),
        ("Licence", publication["license"]),
    ]


def _promise(privacy: Mapping[str, Any]) -> str:
    return f"{privacy['neighbours']['relation']}: {privacy['neighbours']['words']}. {_gain(privacy)}"


def _gain(privacy: Mapping[str, Any]) -> str:
    number = attacker_number(privacy)
    return f"{number['value']} ({number['baseline']}). {number['words']}"


def _unprotected(privacy: Mapping[str, Any]) -> list[str]:
    listed = [f"{q['quantity']}: {q['why']}" for q in privacy["unprotected_quantities"]]
    return [*not_protected(privacy["unit"]), *listed]


def _charges(privacy: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Charges that say the same are one line, with how often and their common share."""
    shares: dict[tuple[str, str, str], list[float]] = {}
    for charge in privacy["charges"]:
        shares.setdefault((charge["purpose"], charge["mechanism"], charge["noise"]), []).append(
            charge["share"]
        )
    return [
        (
            purpose if len(found) == 1 else f"{purpose} ({len(found)} times)",
            mechanism,
            noise,
            percent(sum(found)),
        )
        for (purpose, mechanism, noise), found in list(shares.items())[:SOME]
    ]


def _columns(material: Material) -> list[tuple[str, ...]]:
    decided = {bound["column"]: bound["decided_by"] for bound in material.privacy["bounds"]}
    return [
        (
            column["name"],
            column["type"],
            column["declared"],
            column["origin"] + (f", was: {column['was']}" if column["was"] else ""),
            decided.get(column["name"], "–"),
        )
        for column in columns(material.schema)[:SOME]
    ]


def _inspected(privacy: Mapping[str, Any]) -> str:
    seen = [bound["column"] for bound in privacy["bounds"] if bound["was"] == "inspected"]
    if not seen:
        return "none was first learnt by looking at the rows"
    return f"first learnt by looking at the rows, and declared public afterwards: {', '.join(seen)}"


def _figures(privacy: Mapping[str, Any]) -> Sequence[str | Sequence[str]]:
    rows = [
        (
            figure["name"],
            f"{percent(figure['value'])} ({percent(figure['low'])} to {percent(figure['high'])})",
            figure["words"],
        )
        for figure in privacy["published_figures"]
    ]
    return (
        [
            "## Figures against real rows, paid for",
            table(("Figure", "Value, 95 % interval", "What it is"), rows),
        ]
        if rows
        else []
    )


def _predecessors(privacy: Mapping[str, Any]) -> Sequence[str] | str:
    earlier = privacy["ledger"]["predecessors"]
    if not earlier:
        return "None is in the ledger."
    return table(
        ("Bundle", "Model", "State"),
        [
            (one["bundle_id"], one["model_id"], "withdrawn" if one["withdrawn"] else "stands")
            for one in earlier
        ],
    )
