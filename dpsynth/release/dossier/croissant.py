"""croissant.json: the table for catalogues and loaders, as Croissant 1.1 JSON-LD with the responsible-AI vocabulary 1.0.

Addresses in it are names of vocabularies: nothing is loaded from them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dpsynth.release.facts import not_protected, title
from dpsynth.release.files import canonical
from dpsynth.ruled import RuledColumn, ruled_words
from dpsynth.schema import DateColumn, IdColumn, Schema

if TYPE_CHECKING:
    from dpsynth.release.dossier import Material

Json = dict[str, Any]
CROISSANT = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"
_TERMS = [
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
    "transform",
]  # fmt: skip
TYPES = {
    "integer": "sc:Integer",
    "number": "sc:Float",
    "weight": "sc:Float",
    "boolean": "sc:Boolean",
    "date": "sc:Date",
}
FORMS = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}


def croissant(material: Material) -> bytes:
    """The description of the data file, its columns, and what people should know before they use it."""
    privacy, human = material.privacy, material.human
    return canonical(
        {
            "@context": CONTEXT,
            "@type": "sc:Dataset",
            "name": title(privacy),
            "description": _description(material),
            "conformsTo": [CROISSANT, RAI],
            "version": privacy["tool"]["version"],
            "keywords": ["synthetic data", "differential privacy"],
            **_published(human),
            "distribution": [_file(material)],
            "recordSet": [_records(material)],
            **_responsible(material),
        }
    )


def _description(material: Material) -> str:
    g, unit = material.privacy["guarantee"], material.privacy["unit"]
    return (
        f"{material.rows} synthetic rows. No row is real; differential privacy with epsilon {g['epsilon']:.4g}, delta "
        f"{g['delta']:g} for one {unit['entity']}."
    )


def _published(human: Mapping[str, Any]) -> Json:
    """What only a person can say; left out when nobody did."""
    published = human["publication"]
    if published is None:
        return {}
    curator = {"@type": "sc:Organization", "name": published["curator"]}
    return {
        "license": published["license"],
        "datePublished": published["date"],
        "creator": curator,
        "publisher": curator,
    }


def _file(material: Material) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": "data",
        "name": material.data_file,
        "description": "The synthetic rows.",
        "contentUrl": material.data_file,
        "contentSize": f"{material.data_bytes} B",
        "encodingFormat": FORMS[material.data_file.rpartition(".")[2]],
        "sha256": material.data_sha256,
    }


def _records(material: Material) -> Json:
    schema = material.schema
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": "One synthetic row each.",
        "field": [_field(schema, number, name) for number, name in enumerate(schema.written, 1)],
    }


def _field(schema: Schema, number: int, name: str) -> Json:
    """A column; its id is a number, because a name may hold anything."""
    column = schema.columns[name]
    made_up = isinstance(column, IdColumn)
    kind = TYPES.get(column.kind if isinstance(column, RuledColumn) else column.type, "sc:Text")
    if isinstance(column, DateColumn) and column.format != "%Y-%m-%d":
        kind = "sc:Text"
    return {
        "@type": "cr:Field",
        "@id": f"rows/{number}",
        "name": name,
        "description": "Made-up identifiers."
        if made_up
        else f"{ruled_words(column).capitalize()}."
        if isinstance(column, RuledColumn)
        else f"Declared as {column.type}; origin: {column.origin}.",
        "dataType": kind,
        "source": {"fileObject": {"@id": "data"}, "extract": {"column": name}},
    }


def _responsible(material: Material) -> Json:
    privacy, human = material.privacy, material.human
    uses = [human["purpose"], *(f"Not for: {use}" for use in human["prohibited_uses"])]
    return {
        "rai:dataCollection": "Drawn from a model of counts that were taken from real rows with noise; see privacy.json.",
        "rai:dataCollectionType": ["Software Collection"],
        "rai:dataUseCases": uses,
        "rai:dataLimitations": [
            "Combinations of columns that were not measured are the model's guess.",
            "The error of every measured table is in report.json.",
            *not_protected(privacy["unit"]),
        ],
        "rai:dataBiases": ["Not examined. Noise weighs most on small groups."],
        "rai:personalSensitiveInformation": [
            f"No real rows. What remains: {q['quantity']}: {q['why']}"
            for q in privacy["unprotected_quantities"]
        ],
        "rai:dataReleaseMaintenancePlan": (
            f"To be reviewed by {human['review_date']}; contact: {human['contact']}; approved by {human['approver']}."
        ),
    }
