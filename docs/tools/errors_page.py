"""docs/errors.md from the code: every error code, what brings it about, the way out.

Read from the syntax tree, so nothing is imported and nothing can be forgotten: a code is a text such as "B201" in the
arguments of a call (or in a tuple that becomes an error); the texts after it are the problem and the way out. What an
error fills in at run time is shown as …. Run `python -m docs.tools.errors_page` to write the page anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"
CODE = re.compile(r"[SDBAVCU]\d{3}")
GAP = "…"
ENDS = {"Check", "refuse", "Misfit"}
"""Calls whose last two values are the problem and the way out; in others these follow the code."""

KINDS = {
    "U": ("Usage", 2, "a command or call that cannot mean anything"),
    "S": ("Project file and schema", 3, "the project file or schema is invalid"),
    "D": ("Data", 4, "the rows do not fit what was declared; nothing was spent"),
    "B": ("Budget", 5, "the privacy budget does not allow it, or the promise makes no sense"),
    "A": ("Audit and policy", 6, "an attack, the gate or the organisation's policy refused"),
    "V": ("Verification", 7, "a bundle, a model or a ledger is not what it was when it was written"),
    "C": ("Capacity", 8, "it would exceed memory, cells or disk"),
}

HEAD = """\
# Error codes

<!-- Written by `python -m docs.tools.errors_page` from the code; do not edit. -->

Every error says what is wrong and where, then, after a semicolon, the way out. Its code is stable. None ever quotes a
value of the data. {count} codes are in use; the letter gives the exit code of the command. With `--json` the same three
parts stand under `error`: `code`, `problem`, `fix`. In the tables … stands for what is filled in when it happens (a
name, a line, a number of your own).

| letter | exit | meaning |
|---|---|---|
{kinds}
| X | 1 | an error of ours: `DPS-X001`, internal error. Run again with `-v -v` and report it ([how](security.md)) |

Exit 0 is success, 130 an interruption (what was reserved in the ledger stays spent).
"""

IN_WORDS = {
    "D105": "two columns of the table have the same name",
    "D119": "a column holds what cannot be read as values",
    "S161": "a constraint cannot mean anything: what it compares does not fit together",
    "S166": "no row can keep all constraints, or one of them says nothing",
}
"""Codes whose message is put together when it happens."""


@dataclass(frozen=True, order=True)
class Site:
    """One place where an error is made."""

    code: str
    file: str
    problem: str
    fix: str


@cache
def sites() -> list[Site]:
    """Every place in the code, sorted by code."""
    files = sorted(path for package in ("attacks", "dpsynth") for path in (ROOT / package).rglob("*.py"))
    return sorted(
        {site for path in files for site in sites_in(path.read_text(), str(path.relative_to(ROOT)))}
    )


def sites_in(source: str, file: str) -> Iterator[Site]:
    tree = ast.parse(source)
    for scope, holder, values in _holders(tree, tree):
        at = next((i for i, value in enumerate(values) if _is_code(value)), None)
        if at is None:
            continue
        after = values[max(at + 1, len(values) - 2) :] if _called(holder) in ENDS else values[at + 1 :]
        told = [said for said in (_words(value, scope) for value in after) if said]
        code = values[at].value  # type: ignore[attr-defined]
        yield Site(code, file, *[*(told or [GAP]), ""][:2])


def _holders(node: ast.AST, scope: ast.AST) -> Iterator[tuple[ast.AST, ast.AST, list[ast.expr]]]:
    """(enclosing function, call or tuple, its values), at any depth."""
    for child in ast.iter_child_nodes(node):
        inner = child if isinstance(child, ast.FunctionDef) else scope
        if isinstance(child, ast.Call):
            yield inner, child, child.args
        elif isinstance(child, ast.Tuple) and child.elts and _is_code(child.elts[0]):
            yield inner, child, child.elts
        yield from _holders(child, inner)


def _is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(CODE.fullmatch(node.value))


def _called(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _words(node: ast.expr, scope: ast.AST) -> str:
    """The text that an expression makes, with … for what is only known when it runs; "" for no text."""
    match node:
        case ast.Constant(value=str() as said):
            return said
        case ast.JoinedStr(values=parts):
            return "".join(_words(part, scope) if isinstance(part, ast.Constant) else GAP for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_words(left, scope) or GAP) + (_words(right, scope) or GAP)
        case ast.IfExp(body=one, orelse=other):
            return " / ".join(said for said in (_words(one, scope), _words(other, scope)) if said)
        case ast.Name(id=name):
            return _assigned(name, scope)
    return GAP if isinstance(node, ast.Call) else ""


def _assigned(name: str, scope: ast.AST) -> str:
    """What a function writes into this name, where that is text."""
    found = [
        _words(node.value, ast.Module([], []))
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]
    return " / ".join(dict.fromkeys(said for said in found if said)) or GAP


def page() -> str:
    """The whole page as Markdown."""
    found = [site for site in sites() if site.problem != GAP or site.fix]
    codes = {site.code for site in sites()}
    kinds = "\n".join(f"| {letter} | {code} | {words} |" for letter, (_, code, words) in KINDS.items())
    parts = [HEAD.format(count=len(codes), kinds=kinds)]
    for letter, (title, code, _) in KINDS.items():
        parts += [f"\n## {title} (exit {code})\n", "| code | cause | way out |", "|---|---|---|"]
        parts += [_row(one, found) for one in sorted(codes) if one.startswith(letter)]
    return "\n".join(parts) + "\n"


def _row(code: str, found: list[Site]) -> str:
    mine = [site for site in found if site.code == code]
    told = [site.problem for site in mine if re.search("[a-z]{2}", site.problem)]
    causes = "<br>".join(dict.fromkeys(map(_cell, told or [IN_WORDS.get(code, GAP)])))
    ways = "<br>".join(dict.fromkeys(_cell(site.fix) for site in mine if site.fix not in ("", GAP)))
    return f'| <span id="{code.lower()}">`DPS-{code}`</span> | {causes} | {ways or "as the message says"} |'


def _cell(text: str) -> str:
    """For a cell of a Markdown table: nothing in it is markup."""
    escaped = re.sub(r"([\\|*_`<>\[\]{}])", lambda found: f"&#{ord(found[1])};", text)
    return " ".join(escaped.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
