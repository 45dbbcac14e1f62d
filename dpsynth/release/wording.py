"""Documents of another build of this software: their words are its own, their numbers are the release's.

A document that this build renders from the bundle's facts has the same numbers as one that any other build rendered from
them, whatever either says around them. So numbers are compared where words cannot be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser

from dpsynth.errors import VerifyError

_NUMBER = re.compile(r"[\w.,:+-]*\d[\w.,:+-]*")
_INLINE = frozenset(
    {"a", "abbr", "b", "code", "data", "em", "i", "small", "span", "strong", "sub", "sup", "tspan"}
)
_UNSEEN = frozenset({"style", "script", "template"})
MOST_NAMED = 3


class _Text(HTMLParser):
    """What a page says, its drawings included; elements that stand in a line do not break a number."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN and self._unseen > 0
        self._between(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def _between(self, tag: str) -> None:
        if tag not in _INLINE:
            self.parts.append(" ")


def numbers(name: str, content: bytes) -> list[str]:
    """What has a digit in it, as it is written, in its order: of an HTML page what it shows."""
    text = content.decode("utf-8", errors="replace")
    if name.endswith(".html"):
        page = _Text()
        page.feed(text)
        page.close()
        text = "".join(page.parts)
    found = (token.rstrip(".,:+-").lstrip(".,:+") for token in _NUMBER.findall(text))
    return [token for token in found if token]


def compare(name: str, found: bytes, made: bytes) -> str:
    """Compare a document of another build with what this one makes of the same facts. Returns what remains to be said, in
    words; nothing where all numbers are the same in the same order. Raises VerifyError (V143) for a number in the place of
    another one: where some are lacking and others are there instead."""
    theirs, ours = numbers(name, found), numbers(name, made)
    if theirs == ours:
        return ""
    further, lacking = Counter(theirs) - Counter(ours), Counter(ours) - Counter(theirs)
    if further and lacking:
        raise VerifyError(
            "V143",
            f"{name} was written by another build, and says {_some(further)} where the facts of the bundle make "
            f"{_some(lacking)}",
            "rely on privacy.json, which was checked; the build that is named there can compare the page byte by byte",
        )
    if further:
        return f"{name} has further numbers ({_some(further)})"
    return f"{name} lacks numbers ({_some(lacking)})" if lacking else f"{name} has them in another order"


def _some(counted: Mapping[str, int]) -> str:
    named = ", ".join(token[:40] for token in list(counted)[:MOST_NAMED])
    return named if len(counted) <= MOST_NAMED else f"{named} and {len(counted) - MOST_NAMED} more"


def told(remarks: Iterable[str]) -> str:
    """What a verification says of a bundle whose documents are another build's."""
    rest = [remark for remark in remarks if remark]
    numbers = "all their numbers are" if not rest else f"their numbers are, but {'; '.join(rest)}"
    return f"its pages were written by another build of dpsynth: their wording is not compared, {numbers}"


WORDS = re.compile(
    r"neighbours\.words|unit\.(enforced|synthetic)|guarantee\.(noise|theorem|accountant)|unprotected_quantities(\..*)?"
    r"|charges\.\d+\.(mechanism|noise)|bounds\.\d+\.decided_by|audits\.attacks\.\d+\.knowledge"
)
"""Statements of privacy.json that are sentences, which another build may say otherwise."""


def but_for_words(places: Iterable[str]) -> Iterator[str]:
    """Places of privacy.json that every build makes alike."""
    return (place for place in places if place.split(".")[0] != "tool" and not WORDS.fullmatch(place))
