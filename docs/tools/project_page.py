"""docs/reference/project-file.md and policy-file.md from the very models that read these files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dpsynth.project import json_schema
from dpsynth.release import policy

HEAD = """\
# Project file

One YAML file for the whole job. Written from the models that read it, when these pages are built; `dpsynth schema` prints
the same as a JSON Schema for your editor. Unknown keys are refused, with the nearest known one. Every bound and every
category says how it became known: `origin: public` (everybody could know it without the rows), `origin: dp` (learnt for a
charge) or `origin: inspected` (somebody looked: a release refuses it until a person turns it into public knowledge).
"""
POLICY_HEAD = """\
# Policy file

An organisation's rules for releases, in a file of its own: `dpsynth run --policy rules.yaml`, or `release: {policy:
rules.yaml}` in the project. What is left out is not asked. Written from the model that reads it.
"""
SHARED = ("origin", "was", "reason", "learnt", "missing", "missing_values")
"""Keys of every modelled column."""
Schema = Mapping[str, Any]


def page() -> str:
    schema = json_schema()
    parts = [HEAD, "\n## Top level\n", *_table(schema, schema)]
    kinds = [_name(ref) for ref in _column_kinds(schema)]
    sections = [name for name in schema["$defs"] if name not in kinds]
    parts += [part for name in sections for part in _section(name, schema)]
    parts.append("\n## Columns\n\nThe keys under `columns:` are the names of the table's columns.")
    parts.append("\nEvery kind of column takes these keys too:\n")
    every = schema["$defs"]["BooleanColumn"]
    parts += [
        *_table(
            {"properties": {k: every["properties"][k] for k in SHARED if k in every["properties"]}}, schema
        )
    ]
    parts += [part for name in kinds for part in _section(name, schema, "###")]
    return "\n".join(parts) + "\n"


def policy_page() -> str:
    schema = policy.json_schema()
    said = " ".join((policy.Rules.__doc__ or "").split())
    return "\n".join([POLICY_HEAD, said, "", *_table(schema, schema)]) + "\n"


def _column_kinds(schema: Schema) -> list[str]:
    columns = schema["properties"]["columns"]["additionalProperties"]
    return [one["$ref"] for one in columns["oneOf"]]


def _section(name: str, schema: Schema, level: str = "##") -> Iterator[str]:
    found = schema["$defs"][name]
    if "properties" not in found:
        return
    kind = found["properties"].get("type", {}).get("const")
    yield f"\n{level} {f'type: {kind}' if kind else name.removesuffix('Spec')} {{#{name.lower()}}}\n"
    yield f"{_said(found)}\n"
    own = (
        found["properties"].items()
        if level == "##"
        else [p for p in found["properties"].items() if p[0] not in SHARED]
    )
    yield from _table({**found, "properties": dict(own)}, schema)


def _said(found: Schema) -> str:
    return " ".join(str(found.get("description", "")).split())


def _table(found: Schema, schema: Schema) -> Iterator[str]:
    yield "| key | what | default |"
    yield "|---|---|---|"
    for key, field in found["properties"].items():
        default = "**needed**" if key in found.get("required", ()) else _code(field.get("default"))
        told = _type(field, schema)
        more = " ".join(str(field.get("description", "")).split()).replace("|", "\\|")
        yield f"| `{key}` | {told}{'. ' + more if more else ''} | {default} |"


def _code(value: Any) -> str:
    return "" if value is None or isinstance(value, dict) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(field: Schema, schema: Schema) -> str:
    if "$ref" in field:
        name = _name(field["$ref"])
        known = schema["$defs"][name]
        return (
            f"[{name.removesuffix('Spec')}](#{name.lower()})"
            if "properties" in known
            else _type(known, schema)
        )
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    several = next((field[key] for key in ("anyOf", "oneOf", "allOf") if key in field), None)
    if several is not None:
        kinds = [_type(one, schema) for one in several if one.get("type") != "null"]
        return "a column, see [below](#columns)" if len(kinds) > 6 else " or ".join(dict.fromkeys(kinds))
    return _plain(field, schema)


def _plain(field: Schema, schema: Schema) -> str:
    match field.get("type"):
        case "array":
            items = field.get("items") or {}
            return f"list of {_type(items, schema)}" if items else "list"
        case "object":
            inner = field.get("additionalProperties")
            return f"name: {_type(inner, schema)}" if isinstance(inner, dict) else "mapping"
        case "integer" | "number" as kind:
            return f"{'whole number' if kind == 'integer' else 'number'}{_limits(field)}"
        case kind:
            return {"string": "text", "boolean": "true or false"}.get(str(kind), "value")


def _limits(field: Schema) -> str:
    words = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    told = [f"{sign} {field[key]:g}" for key, sign in words.items() if key in field]
    return f" ({', '.join(told)})" if told else ""


def _name(ref: str) -> str:
    return ref.rsplit("/", 1)[-1]


if __name__ == "__main__":
    import sys

    sys.stdout.write(page() + policy_page())
