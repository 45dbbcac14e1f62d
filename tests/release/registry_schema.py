"""What an entry of the OpenDP Deployments Registry must look like, as JSON Schema in our own words.

Field names, required fields and lists of choices as published in `schemas/deployments-schema.yaml` of
opendp/deployments-registry-data at the commit that `dpsynth.release.dossier.registry` names; descriptions left out.
"""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}


def part(required: str, optional: str = "", **special: Any) -> dict[str, Any]:
    names = [*required.split(), *optional.split()]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": {name: special.get(name, TEXT) for name in names},
    }


def choice(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


CURATOR = {
    "type": "object",
    "required": ["data_curator_name", "data_curator_type"],
    "properties": {
        "data_curator_name": TEXT,
        "data_curator_type": choice("Government", "Industry", "Nonprofit"),
    },
}
PARAMETERS = part(
    "",
    "epsilon delta rho",
    epsilon={"type": "number"},
    delta={"type": ["number", "string"]},
    rho={"type": "number"},
)
DEPLOYMENT = part(
    "basic administrative",
    "dp_variant privacy_loss deployment_model implementation",
    basic=part(
        "name data_curators description intended_use data_product_type data_product_region publication_date",
        "data_product_sector",
        data_curators={"type": "array", "items": CURATOR, "minItems": 1},
        data_product_type=choice(
            "Summary statistics", "Machine learning model", "Dataset", "Synthetic data", "Interactive API", "SQL queries"
        ),
        data_product_sector=choice("Technology", "Healthcare", "Education", "Government", "Energy", "Finance"),
        publication_date={"type": "string", "format": "date"},
    ),
    dp_variant=part(
        "",
        "variant_name data_domain unprotected_quantities",
        variant_name=choice("Pure DP", "Approximate DP", "Zero-concentrated DP", "Renyi DP", "Custom"),
    ),
    privacy_loss=part(
        "",
        "privacy_unit privacy_unit_details number_of_privacy_units privacy_parameters privacy_parameters_details",
        number_of_privacy_units={"type": "integer"},
        privacy_parameters=PARAMETERS,
    ),
    deployment_model=part(
        "",
        "model_name model_name_details trust_assumptions actors release_type release_type_details data_source_type "
        "data_source_type_details access_type access_type_details",
        model_name=choice("Local", "Central", "Shuffle", "Federated", "Varies"),
        release_type=choice("One release", "Many releases"),
        data_source_type=choice("Static", "Dynamic"),
        access_type=choice("Interactive", "Non-interactive"),
    ),
    implementation=part(
        "",
        "preprocessing_and_hyperparameter_tuning mechanisms composition post_processing justification utility "
        "additional_information",
    ),
    administrative=part(
        "status registry_authors tier",
        "evidence_sources",
        status=choice(
            "Converted", "Draft", "Pending", "Changes Required", "Approved", "Approved (Update Requested)",
            "Approved (Pending)",
        ),
        registry_authors={"type": "array", "items": TEXT, "minItems": 1},
        tier={"type": "integer", "enum": [1, 2, 3]},
        evidence_sources={"type": "object"},
    ),
)  # fmt: skip
SCHEMA = part("url_slug deployment", deployment=DEPLOYMENT)
