"""YAML as a declaration needs it: plain data only, nothing that surprises, every entry with its line.

Differs from the usual reader where that one guesses: ``yes``, ``no``, ``on``, ``off``, ``010`` and
``2015-01-01`` stay text, ``1e-9`` is a number, a key written twice is an error, and no tag can build an
object. Size, depth and what aliases expand to are bounded before anything is built.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from dpsynth.errors import SchemaError

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file to an entry."""

MAX_BYTES = 8 << 20
MAX_NODES = 400_000
MAX_DEPTH = 30

_PLAIN = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"0|-?[1-9][0-9]*", list("-0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (its parent's class attribute, replaced)


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either this reader or a YAML 1.1 reader would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern, _first in _RESOLVERS:
    _regex = re.compile(f"^(?:{_pattern})$")
    _Loader.add_implicit_resolver(_PLAIN + _kind, _regex, _first)
    _Dumper.add_implicit_resolver(_PLAIN + _kind, _regex, _first)


def loads(text: str | bytes) -> tuple[Any, dict[Path, int]]:
    """The data of one YAML document, and the line (from 1) of every entry by its path.

    Raises SchemaError: S102 not YAML, S103 too large, deep or many-fold, S104 a key twice, S105 a tag.
    """
    size = len(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    if size > MAX_BYTES:
        raise SchemaError("S103", f"the file has {size >> 20} MB", f"at most {MAX_BYTES >> 20} MB are read")
    try:
        _check_extent(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _broken(error) from None
    except (yaml.YAMLError, UnicodeError, ValueError):
        raise SchemaError(
            "S102",
            "the file is not YAML",
            "it holds characters that YAML does not allow; save it as plain UTF-8",
        ) from None
    lines: dict[Path, int] = {}
    return _build(node, (), lines) if node is not None else None, lines


def dumps(data: Any) -> str:
    """YAML text that `loads` reads back as the same data; small leaves on one line."""
    return yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )


def describe(path: Path) -> str:
    """``columns.age.edges[2]``, long or unprintable keys shortened."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if text else shown(step)
    return text or "the file"


def shown(name: str) -> str:
    """A key for an error text."""
    clean = "".join(c if c.isprintable() else "?" for c in name[:60])
    return f"{clean}..." if len(name) > 60 else clean


def _broken(error: yaml.MarkedYAMLError) -> SchemaError:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    # the parser's own words can repeat text of the file: only known-harmless ones are passed on
    problem = error.problem or ""
    said = problem if re.fullmatch(r"[a-z ,'\-:<>\[\]{}]{1,80}", problem) else "the structure breaks off here"
    return SchemaError(
        "S102", f"line {line}: not valid YAML ({said})", "check indentation, quotes and brackets around it"
    )


def _check_extent(text: str | bytes) -> None:
    """Walk the parser's events (no recursion, nothing built) and count what the document would expand to."""
    anchors: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_Loader):
        match event:
            case yaml.CollectionStartEvent():
                open_nodes.append((event.anchor, total))
                total += 1
            case yaml.CollectionEndEvent():
                anchor, before = open_nodes.pop()
                anchors[str(anchor)] = total - before
            case yaml.ScalarEvent():
                total += 1
                anchors[str(event.anchor)] = 1
            case yaml.AliasEvent():
                total += _aliased(event, anchors)
        _check_size(total, len(open_nodes))


def _aliased(event: yaml.AliasEvent, anchors: dict[str, int]) -> int:
    name = str(event.anchor)
    if name not in anchors:
        line = event.start_mark.line + 1 if event.start_mark else 1
        raise SchemaError(
            "S102", f"line {line}: an alias stands for nothing that is complete", "define its anchor above it"
        )
    return anchors[name]


def _check_size(nodes: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise SchemaError(
            "S103", f"nested more than {MAX_DEPTH} levels deep", "a project file needs about five"
        )
    if nodes > MAX_NODES:
        raise SchemaError(
            "S103",
            f"the file stands for more than {MAX_NODES:,} entries",
            "shorten value lists; aliases count in full",
        )


def _build(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    line = node.start_mark.line + 1
    if len(path) > MAX_DEPTH:
        raise SchemaError(
            "S103",
            f"line {line}: nested more than {MAX_DEPTH} levels deep",
            "a project file needs about five",
        )
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode) and node.tag == _PLAIN + "map":
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode) and node.tag == _PLAIN + "seq":
        return [_build(item, (*path, i), lines) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, line)
    raise _tagged(line)


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SchemaError("S102", f"line {line}: a key is not plain text", "write keys as words")
        key = str(key_node.value)
        if key in found:
            first = lines[(*path, key)]
            raise SchemaError(
                "S104",
                f"line {line}: {describe((*path, key))} is given twice (first on line {first})",
                "keep one of them",
            )
        lines[(*path, key)] = line
        found[key] = _build(value_node, (*path, key), lines)
    return found


def _scalar(node: yaml.ScalarNode, line: int) -> Any:
    kind, text = node.tag.removeprefix(_PLAIN), str(node.value)
    match kind:
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text) if len(text) < 400 else float("inf")
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise _tagged(line)


def _tagged(line: int) -> SchemaError:
    return SchemaError(
        "S105", f"line {line}: a YAML tag (!...) is not accepted", "write plain values: no tags, no objects"
    )
