"""Documents of another build of this software: their words are its own, their numbers are the release's.

A document that this build renders from the bundle's facts has the same numbers as one that any other build rendered from
them, whatever either says around them. So numbers are compared where words cannot be.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from typing import Any

from dpsynth.errors import VerifyError

_NUMBER = re.compile(r"[\w.,:+-]*\d[\w.,:+-]*")
_INLINE = frozenset(
    {"a", "abbr", "b", "code", "data", "em", "i", "small", "span", "strong", "sub", "sup", "tspan"}
)
_UNSEEN = frozenset({"style", "script", "template"})
_MEANT = frozenset(
    {
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "d",
        "points",
        "width",
        "height",
        "cx",
        "cy",
        "r",
        "aria-label",
        "title",
        "alt",
    }
)
"""Attributes that say something, or where something is drawn."""
_HIDING = re.compile(r"<[!/?a-zA-Z][^>]*>|(?m:(?:^|(?<=\s))#(?!#* ).*$|^\[[^\]]*\]:.*$)")
"""What a text document can hide something behind: elements, comments, definitions of links."""
MOST_NAMED = 3


class _Text(HTMLParser):
    """What a page says, its drawings included; elements that stand in a line do not break a number."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.laid_out: set[object] = set()
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self.laid_out |= {tag, *((tag, name, value) for name, value in attrs if name not in _MEANT)}
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0
        self._between(tag)

    def handle_data(self, data: str) -> None:
        if self._unseen:
            self.laid_out.add(data)
        else:
            self.parts.append(data)

    def handle_comment(self, data: str) -> None:
        self.laid_out.add(("comment", data))

    def _between(self, tag: str) -> None:
        if tag not in _INLINE:
            self.parts.append(" ")


def numbers(name: str, content: bytes) -> list[str]:
    """What has a digit in it, as it is written, in its order: of an HTML page what it shows."""
    text = content.decode("utf-8", errors="replace")
    if name.endswith(".html"):
        text = "".join(_read(text).parts)
    found = (token.rstrip(".,:+-").lstrip(".,:+") for token in _NUMBER.findall(text))
    return [token for token in found if token]


def _read(text: str) -> _Text:
    page = _Text()
    page.feed(text)
    page.close()
    return page


def laid_out(name: str, content: bytes) -> set[object]:
    """By what a document can show something else than its text: styles, scripts, comments, attributes of elements."""
    text = content.decode("utf-8", errors="replace")
    return _read(text).laid_out if name.endswith(".html") else set(_HIDING.findall(text))


def compare(name: str, found: bytes, made: bytes) -> str:
    """Compare a document of another build with what this one makes of the same facts. Returns what remains to be said, in
    words; nothing where all numbers are the same in the same order. Raises VerifyError (V143) for a number in the place of
    another one: where some are lacking and others are there instead."""
    theirs, ours = numbers(name, found), numbers(name, made)
    if theirs == ours:
        other = bool(laid_out(name, found) - laid_out(name, made))
        return f"{name} is laid out otherwise, and may show something else" if other else ""
    further, lacking = Counter(theirs) - Counter(ours), Counter(ours) - Counter(theirs)
    if further and lacking:
        raise VerifyError(
            "V143",
            f"{name} was written by another build, and says {_some(further)} where the facts of the bundle make "
            f"{_some(lacking)}",
            "rely on the charges in privacy.json, which were checked; the build that is named there can compare every byte",
        )
    if further:
        return f"{name} has further numbers ({_some(further)})"
    return f"{name} lacks numbers ({_some(lacking)})" if lacking else f"{name} has them in another order"


def _some(counted: Mapping[str, int]) -> str:
    named = ", ".join(token[:40] for token in list(counted)[:MOST_NAMED])
    return named if len(counted) <= MOST_NAMED else f"{named} and {len(counted) - MOST_NAMED} more"


def said(remarks: Iterable[str]) -> list[str]:
    """The remarks that say that something could not be compared: more than words."""
    return [remark for remark in remarks if remark]


def told(remarks: Iterable[str]) -> str:
    """What a verification says of a bundle whose documents are another build's."""
    rest = said(remarks)
    numbers = "all their numbers are" if not rest else f"their numbers are, but {'; '.join(rest)}"
    return f"its pages were written by another build of dpsynth: their wording is not compared, {numbers}"


WORDS = re.compile(
    r"neighbours\.words|unit\.(enforced|synthetic)|guarantee\.(noise|theorem|accountant)|unprotected_quantities(\..*)?"
    r"|charges\.\d+\.(mechanism|noise)|audits\.attacks\.\d+\.knowledge"
)
"""Statements of privacy.json that are sentences, which another build may say otherwise."""


def words_of(stated: object, computed: object, place: str) -> str | None:
    """What remains to be said of a place of privacy.json that another build made otherwise; None where it may not.

    Raises VerifyError (V143) for a sentence with another number.
    """
    if place.split(".")[0] == "tool":
        return ""
    if not WORDS.fullmatch(place):
        return None
    if place == "unprotected_quantities":
        return "privacy.json lists more or fewer unprotected quantities"
    one, other = (
        json.dumps(_at(value, place.split(".")), ensure_ascii=False) for value in (stated, computed)
    )
    return compare(f"privacy.json: {place}", one.encode(), other.encode())


def _at(value: Any, place: list[str]) -> Any:
    for key in place:
        value = value[int(key)] if isinstance(value, list | tuple) else value.get(key)
    return value
