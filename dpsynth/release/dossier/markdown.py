"""Markdown in which a name is only a name: whatever a column, a category or a person's text holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>&|~$#@^])")
_ADDRESS = re.compile(r"(?<=\w)(:)(?=//)|(?i:(?<=www))(\.)")
_LIST = re.compile(r"^(\d*)([-+=.)])")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def text(value: object) -> str:
    """One line that renders as exactly these characters: no markup, no link, no list; hidden ones spelt out."""
    return _LIST.sub(r"\1\\\2", inline(value))


def inline(value: object) -> str:
    """The same for the middle of a line, where no list begins."""
    line = " ".join(str(value).split())
    spelt = "".join(f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in _HIDDEN else c for c in line)
    safe = _SPECIAL.sub(r"\\\1", spelt)
    return _ADDRESS.sub(lambda found: "\\" + found.group(), safe)


def bullets(lines: Iterable[object]) -> list[str]:
    return [f"- {text(line)}" for line in lines]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table of plain texts."""
    return [
        _row(header),
        "|" + "---|" * len(header),
        *(_row(row) for row in rows),
    ]


def page(parts: Iterable[str | Sequence[str]]) -> bytes:
    """Blocks with an empty line between; one newline at the end."""
    blocks = [part if isinstance(part, str) else "\n".join(part) for part in parts]
    return ("\n\n".join(block for block in blocks if block) + "\n").encode()


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(inline(cell) for cell in cells) + " |"
