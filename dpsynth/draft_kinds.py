"""What a draft recognises in the texts of one column: moments, codes among numbers, constants, texts to be discovered."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
)
"""Of dates with a time; those that name day and month by their place only where it cannot be mistaken."""
DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%Y%m%d")
TIMES = ("%H:%M:%S", "%H:%M")
CODES = (-999, -99, -9, -8, -7, -2, -1, 99, 999, 9999, 99999, 999999, 9999999)
"""Numbers that data dictionaries use for "not known", "not asked" and "more"."""
FAR = 3.0
"""A code above all other numbers is one when it is so many times as large as the next."""
OFTEN, KNOWN = 5, 1000
"""Texts come back if each occurs so often on average; room that is left for their values."""


def moment(texts: Sequence[str]) -> dict[str, Any] | None:
    """A date with or without a time, or a time of day, when every text is one in the same form."""
    for form in FORMATS:
        found = _parsed(texts, form)
        if found is not None:
            entry = {
                "type": "datetime",
                "min": f"{min(found).year}-01-01 00:00:00",
                "max": f"{max(found).year}-12-31 23:59:59",
            }
            return entry if form == FORMATS[0] else {**entry, "format": form}
    for form in DAYS:
        found = _parsed(texts, form)
        if found is not None and (form != "%Y%m%d" or all(1900 <= day.year <= 2100 for day in found)):
            return {
                "type": "date",
                "min": f"{min(found).year}-01-01",
                "max": f"{max(found).year}-12-31",
                "format": form,
            }
    for form in TIMES:
        if _parsed(texts, form) is not None:
            last = "23:59:59" if form == TIMES[0] else "23:59"
            return {
                "type": "time",
                "min": last.replace("23", "00").replace("59", "00"),
                "max": last,
                "format": form,
            }
    return None


def _parsed(texts: Sequence[str], form: str) -> list[dt.datetime] | None:
    """Every text in this form, written just so; None otherwise."""
    found = []
    for text in texts:
        try:
            found.append(dt.datetime.strptime(text, form))
        except ValueError:
            return None
        if found[-1].strftime(form) != text:
            return None
    return found or None


def codes(texts: Sequence[str]) -> list[int]:
    """Whole numbers among these that look like codes: negative ones where all others are not, nines far above the others."""
    numbers = {float(text) for text in texts}
    suspects = [code for code in CODES if float(code) in numbers and str(code) in texts]
    while suspects:
        rest = np.array(sorted(numbers - {float(code) for code in suspects}))
        if not len(rest) or len(rest) < 2 * len(suspects):
            return []
        honest = [c for c in suspects if not (c < 0 <= rest[0] or (c > 0 and c >= FAR * max(rest[-1], 1.0)))]
        if not honest:
            return suspects
        suspects = [code for code in suspects if code not in honest]
    return []


def constant(text: str, numeric: bool) -> dict[str, Any]:
    """A column with one value and nothing missing; a number that reads back as it was written stays one."""
    if numeric and re.fullmatch(r"-?(0|[1-9][0-9]{0,14})", text):
        return {"type": "constant", "value": int(text)}
    return {"type": "constant", "value": text}


def many_texts(distinct: Sequence[str], rows: int, longest: int) -> dict[str, Any] | None:
    """A category to be discovered, where texts come back often enough; None for free text and names, which a person must
    drop, or declare to be such a category."""
    usable = all(len(text) <= longest and text.isprintable() for text in distinct)
    if not usable or OFTEN * len(distinct) > rows:
        return None
    return {"type": "category", "discover": {"max_values": KNOWN}}
