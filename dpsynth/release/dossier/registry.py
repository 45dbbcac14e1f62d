"""registry.yaml: an entry for the OpenDP Deployments Registry, to be handed in by a person.

Fields as in the registry's schema `schemas/deployments-schema.yaml` of repository opendp/deployments-registry-data at commit
057e5d81 (sections basic, dp_variant, privacy_loss, deployment_model, implementation, administrative). Its `status` is Draft
until its board has looked at it. The number of units is private, so it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dpsynth import strict_yaml
from dpsynth.release.dossier.markdown import text
from dpsynth.release.facts import title

if TYPE_CHECKING:
    from dpsynth.release.dossier import Material

SCHEMA_COMMIT = "057e5d81cf60150dd3307e0cf4504b957802fb3b"


def registry(material: Material) -> bytes:
    """The entry; its texts are Markdown, as the registry asks."""
    privacy, human = material.privacy, material.human
    entry = {
        "url_slug": _slug(f"{title(privacy)} {privacy['model']['id'][:8]}"),
        "deployment": {
            "basic": _basic(material),
            "dp_variant": {
                "variant_name": "Approximate DP",
                "data_domain": text(
                    f"Tables with the {len(privacy['bounds'])} modelled columns of schema.yaml, every value within its "
                    "declared bounds and categories"
                ),
                "unprotected_quantities": text(
                    "; ".join(f"{q['quantity']} ({q['why']})" for q in privacy["unprotected_quantities"])
                ),
            },
            "privacy_loss": _loss(privacy),
            "deployment_model": _model(privacy),
            "implementation": _implementation(privacy),
            "administrative": {"status": "Draft", "registry_authors": [human["approver"]], "tier": 3},
        },
    }
    return strict_yaml.dumps(entry).encode()


def _basic(material: Material) -> dict[str, Any]:
    privacy, human = material.privacy, material.human
    published = human["publication"]
    found = {
        "name": text(title(privacy)),
        "data_curators": [
            {"data_curator_name": text(published["curator"]), "data_curator_type": published["curator_type"]}
        ],
        "description": text(
            f"{material.rows} synthetic rows with {len(material.schema.written)} columns, drawn from a model of noisy counts"
        ),
        "intended_use": text(f"{human['purpose']}. Not for: {'; '.join(human['prohibited_uses'])}"),
        "data_product_type": "Synthetic data",
        "data_product_region": text(published["region"]),
        "publication_date": published["date"],
    }
    if published["sector"] is not None:
        found["data_product_sector"] = published["sector"]
    return found


def _loss(privacy: Mapping[str, Any]) -> dict[str, Any]:
    g, unit, ledger = privacy["guarantee"], privacy["unit"], privacy["ledger"]
    return {
        "privacy_unit": text(f"one {unit['entity']}"),
        "privacy_unit_details": text(f"{privacy['neighbours']['relation']}; {unit['enforced']}"),
        "privacy_parameters": {"epsilon": g["epsilon"], "delta": g["delta"]},
        "privacy_parameters_details": text(
            f"accountant {g['accountant']}, {g['theorem']}; the whole curve is in privacy.json; all releases about the same "
            f"people together: epsilon {ledger['spent_at_release']['epsilon']:.4g} of {ledger['promise']['epsilon']:g}"
        ),
    }


def _model(privacy: Mapping[str, Any]) -> dict[str, Any]:
    many = bool(privacy["ledger"]["predecessors"])
    return {
        "model_name": "Central",
        "trust_assumptions": text(
            "The owner of the source is trusted with its rows; recipients see the bundle only, and may know everything else"
        ),
        "release_type": "Many releases" if many else "One release",
        "release_type_details": text(
            "one ledger for all releases about these people, promised for ever: epsilon "
            f"{privacy['ledger']['promise']['epsilon']:g}; {len(privacy['ledger']['predecessors'])} earlier bundles"
        ),
        "data_source_type": "Static",
        "access_type": "Non-interactive",
    }


def _implementation(privacy: Mapping[str, Any]) -> dict[str, Any]:
    g = privacy["guarantee"]
    charges = dict.fromkeys(f"{c['purpose']}: {c['mechanism']}, {c['noise']}" for c in privacy["charges"])
    return {
        "preprocessing_and_hyperparameter_tuning": text(
            "Bounds and categories were declared before the run; those first learnt by looking are listed as unprotected. "
            "Every run counts in the ledger, discarded ones as well"
        ),
        "mechanisms": text(
            f"{privacy['tool']['name']} {privacy['tool']['version']}, method {privacy['model']['method']}. "
            f"{'; '.join(charges)}. Noise: {g['noise']}"
        ),
        "composition": text(
            f"{g['accountant']} inside the run ({g['theorem']}); a Gaussian-DP filter over all runs"
        ),
        "post_processing": text("a graphical model fitted to the noisy counts; rows drawn from it"),
        "justification": text(f"rules that held before release: {privacy['gate']['policy']}"),
    }


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:120].strip("-") or "synthetic-table"
