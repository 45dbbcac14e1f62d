"""Base of everything a person declares in a file: frozen, strict about keys, errors with a path."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from dpsynth.errors import SchemaError
from dpsynth.strict_yaml import Path, describe, shown

TODO = "TODO"
"""What a draft writes where a person must decide; a file that still holds one is refused."""
MAX_NAMED = 8
"""Open places that a refusal names; it counts the others."""

LATER = {
    "discover": "only categories (their values) and numbers (their bounds) are learnt for a charge; declare it as public",
    "text": "free text is not modelled: type: drop, or type: category, discover: {max_values: 500} for its frequent values",
}


class Fault(ValueError):
    """A declaration that contradicts itself: stable code, what is wrong, the way out."""

    def __init__(self, code: str, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.code, self.problem, self.fix = code, problem, fix


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:  # the same class, by a public way
    ModelMetaclass = type(BaseModel)


class _Checked(ModelMetaclass):
    """A declaration built in Python fails with the same SchemaError as one read from a file."""

    def __call__(cls, *args: Any, **values: Any) -> Any:
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise schema_error(error, cast(type[BaseModel], cls)) from None


class Declared(BaseModel, metaclass=_Checked):
    """Immutable; a key that does not exist is an error that names the nearest one."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _whole(value: Any) -> Any:
    if isinstance(value, bool):
        raise Fault("S112", "is a truth value where a whole number belongs", "write digits")
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if not isinstance(value, int) and value is not None:
        raise Fault("S112", "is not a whole number", "write digits, without quotes, decimals or separators")
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, bool) or not (isinstance(value, int | float) or value is None):
        raise Fault("S112", "is not a number", "write a plain number such as 250000 or 0.5, without quotes")
    if value is not None and (abs(value) > 1e300 or not math.isfinite(value)):
        raise Fault("S112", "is not a finite number", "write a plain number such as 250000 or 0.5")
    return value


def _text(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise Fault("S112", "is read as a truth value or as nothing where text belongs", "put it in quotes")
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise Fault("S112", "is not text", "put it in quotes")
    return value


Model = TypeVar("Model", bound=Declared)
Whole = Annotated[int, BeforeValidator(_whole)]
Finite = Annotated[float, BeforeValidator(_finite)]
Text = Annotated[str, BeforeValidator(_text)]


def validate(model: type[Model], data: Any, lines: Mapping[Path, int]) -> Model:
    """`model` from plain data. Raises SchemaError with the key path and, where known, the line."""
    refuse_todo(data, lines)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise schema_error(error, model, lines) from None


def refuse_todo(data: Any, lines: Mapping[Path, int]) -> None:
    """Raises SchemaError (S106) while anything that a draft left open still is."""
    still_open = list(_open(data, ()))
    if still_open:
        places = [_place(path, lines) for path in still_open[:MAX_NAMED]]
        more = f" and {len(still_open) - MAX_NAMED} more" if len(still_open) > MAX_NAMED else ""
        raise SchemaError(
            "S106", f"still open ({TODO}): {', '.join(places)}{more}", "a draft leaves these choices to you"
        )


def _open(data: Any, path: Path) -> Iterator[Path]:
    if data == TODO:
        yield path
    if isinstance(data, dict):
        for key, value in data.items():
            if key != "values":  # a category may have this very text
                yield from _open(value, (*path, key))


def schema_error(
    error: ValidationError, model: type[BaseModel], lines: Mapping[Path, int] | None = None
) -> SchemaError:
    """The first thing wrong, in words, and how many more there are. Quotes keys, never values."""
    details = error.errors(include_url=False, include_input=False)
    # a misspelt key is the cause of the one that is missing: name it first
    first = min(details, key=lambda d: (d["type"] != "extra_forbidden", _line(d["loc"], lines or {})))
    code, problem, fix = _explain(first, model)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    where = _place(first["loc"], lines or {})
    return SchemaError(code, f"{where}: {problem}{more}" if where else f"{problem}{more}", fix)


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    return lines.get(_known(path, lines), 0)


def _known(path: Path, lines: Mapping[Path, int]) -> Path:
    """The longest prefix that stands in the file, without the tags that unions put between keys."""
    path = plain_path(path)
    while path and path not in lines:
        path = path[:-1]
    return path


def plain_path(path: Sequence[str | int]) -> Path:
    """Without the union tag after ``columns.<name>``."""
    steps = tuple(path)
    if len(steps) > 2 and steps[0] == "columns":
        steps = (*steps[:2], *steps[3:])
    return tuple(step for step in steps if step != "[key]")


def _place(path: Sequence[str | int], lines: Mapping[Path, int]) -> str:
    steps = plain_path(path)
    line = lines.get(_known(steps, lines)) if lines else None
    if not steps:
        return ""
    where = describe(steps)
    if len(steps) >= 2 and steps[0] == "columns":
        where = f"column '{shown(str(steps[1]))}'" + (f": {describe(steps[2:])}" if len(steps) > 2 else "")
    return f"{where} (line {line})" if line else where


def _explain(detail: Any, model: type[BaseModel]) -> tuple[str, str, str]:
    """Code, problem and fix of one pydantic complaint."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error" and isinstance(context.get("error"), Fault):
        fault = context["error"]
        return fault.code, fault.problem, fault.fix
    if kind in _LIMITS:
        word, limit = _LIMITS[kind]
        return "S114", "is out of range", f"it must be {word} {context[limit]:g}"
    if kind in ("extra_forbidden", "missing", "union_tag_not_found", "union_tag_invalid", "literal_error"):
        return _explain_choice(detail, kind, context, model)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "S112", "is not a group of entries", "write key: value lines under it, or {key: value, ...}"
    return "S112", "has the wrong form", str(detail["msg"]).lower()


_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _explain_choice(detail: Any, kind: str, context: Any, model: type[BaseModel]) -> tuple[str, str, str]:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        return "S110", "is not a known key", LATER.get(name) or _suggest(name, _keys(detail["loc"], model))
    if kind == "missing":
        return "S111", "is missing", "add it"
    if kind == "union_tag_not_found":
        return "S111", "lacks 'type'", "add it, such as type: category"
    if kind == "union_tag_invalid":
        known = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        tag = str(context["tag"])
        return "S113", f"has the unknown type '{shown(tag)}'", LATER.get(tag) or _suggest(tag, known)
    return "S113", "is not one of the choices", f"choose {context['expected']}"


def _suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    listed = ", ".join(known)
    return f"did you mean '{near[0]}'?" if near else f"known: {listed}"


def _keys(path: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """The keys that would have been accepted where an unknown one stood."""
    here: Any = model
    for step in path[:-1]:
        here = _descend(here, step)
    models = [option for option in _options(here) if hasattr(option, "model_fields")]
    return list(models[0].model_fields) if models else []


def _descend(here: Any, step: str | int) -> Any:
    """What a key leads to: a field's type, the alternative that a tag chose, or itself (a name)."""
    for option in _options(here):
        fields = getattr(option, "model_fields", {})
        if step in fields:
            return fields[step].annotation
        if "type" in fields and fields["type"].default == step:
            return option
    return here


def _options(annotation: Any) -> list[Any]:
    """Models and types inside ``X | None``, ``dict[str, X]``, ``Annotated[X, ...]``, flattened."""
    inner = getattr(annotation, "__args__", ())
    return [option for part in inner for option in _options(part)] if inner else [annotation]
