"""What of a column may be learnt for a charge instead of being declared: which values there are, how far numbers reach.

Declared is how much room there is for the answer, so that a plan is fixed before a row is read; the answer replaces the
question and says with `learnt` which charge paid for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from dpsynth.declared import Declared, Fault, Whole
from dpsynth.errors import SchemaError

if TYPE_CHECKING:
    from dpsynth.columns import CategoryColumn, IntegerColumn, NumberColumn

MAX_VALUES = 20_000
OTHER = "(other)"
"""How a value that was not discovered comes back, unless the column says otherwise."""
VALUES, BOUNDS = "discovered values", "discovered bounds"
"""Purposes of the charges; what was learnt names its own."""
NOT_USED = "as declared: between the bounds that were learnt for a charge no row keeps the constraints"
WHOLE = r"0|-?[1-9]\d{0,14}"
FARTHEST = 12
"""Digits before the point where the search for bounds ends unless min and max say otherwise."""
MOST_DIGITS = 14
STEPS = (1, 2, 5)
"""Bounds are these times powers of ten."""

Discover = Literal["bounds"]
Searched = TypeVar("Searched", bound=Declared)


class DiscoverValues(Declared):
    """`max_values`: how many values there may be at most; a plan makes room for so many and the one for others."""

    max_values: Annotated[Whole, Field(ge=1, le=MAX_VALUES)]


def noted(data: Any, room: Mapping[str, Any]) -> Any:
    """What `discover` implies where nothing else is said: that the origin is dp, and `room` for the answer."""
    if isinstance(data, dict) and data.get("discover") is not None:
        return {"origin": "dp", **room, **data}
    return data


def farthest(data: Any) -> dict[str, int]:
    """min and max of a number whose bounds are to be discovered: as far as decimals leave digits for."""
    decimals = data.get("decimals") if isinstance(data, dict) else None
    digits = (
        min(FARTHEST, MOST_DIGITS - decimals)
        if isinstance(decimals, int) and 0 <= decimals <= 12
        else FARTHEST
    )
    return {"min": -(10**digits), "max": 10**digits}


def check_origin(origin: str, asked: bool, learnt: str | None) -> None:
    """Fault S131 for an origin that contradicts how bounds or values became known."""
    if origin == "dp" and not asked and learnt is None:
        raise Fault(
            "S131",
            "origin dp: nothing was learnt for a charge",
            "write discover, or declare it public, with a reason if it was inspected",
        )
    if (asked or learnt is not None) and origin != "dp":
        raise Fault(
            "S131", "what is discovered has another origin than dp", "write origin: dp, or drop discover"
        )
    if asked and learnt is not None:
        raise Fault("S131", "is to be discovered and was learnt already", "keep discover or learnt")


def check_values(column: CategoryColumn) -> None:
    """Fault S138 for a discovered category that contradicts itself."""
    if column.discover is not None and column.values:
        raise Fault("S138", "lists values and asks to discover them", "keep one of the two")
    if column.discover is not None and column.ordered:
        raise Fault("S138", "discovered values have no order", "drop ordered, or list the values in theirs")
    if column.other is not None and column.discover is None and column.values[-1:] != (column.other,):
        raise Fault("S138", "other is not the last of the values", "list it last, or drop other")
    if column.other is not None and column.written == "integer" and not re.fullmatch(WHOLE, column.other):
        raise Fault("S138", "written: integer, but other is no whole number", "such as other: -1")


def with_values(column: CategoryColumn, found: Sequence[str], purpose: str) -> CategoryColumn:
    """The column with these values, sorted, and the one for all others behind them."""
    if column.discover is None or column.other is None:
        raise ValueError("nothing is to be discovered")
    values = (*sorted(set(found) - {column.other}, key=_in_order(column)), column.other)
    return _replaced(column, values=values, learnt=purpose)


def _in_order(column: CategoryColumn) -> Any:
    return int if column.written == "integer" else str


def public_scale(column: IntegerColumn | NumberColumn) -> tuple[float, ...]:
    """Edges of the public logarithmic scale on which bounds are searched, ascending: 1, 2 and 5 times powers of ten with
    their negatives, zero, and the declared min and max; interval i is ``[edges[i], edges[i + 1])``, the last one closed."""
    finest = 0 if column.type == "integer" else -column.digits
    most = max(abs(column.min), abs(column.max))
    sizes = [float(f"{step}e{power}") for power in range(finest, 16) for step in STEPS]
    marks = [sign * size for size in sizes if size <= most for sign in (-1, 1)]
    return tuple(sorted({column.min, column.max, *(m for m in [0.0, *marks] if column.min < m < column.max)}))


def with_bounds(
    column: IntegerColumn | NumberColumn, low: float, high: float, cells: int, purpose: str
) -> IntegerColumn | NumberColumn:
    """The column between `low` and `high`, both from its public scale, with at most `cells` cells of its grid. Fewer, where
    the interval has no room for so many; values beyond are read as the bound."""
    number = int if column.type == "integer" else float
    if column.type == "integer":
        cells = max(1, min(cells, int(high) - int(low) + 1))
    while cells >= 1:
        try:
            return _replaced(
                column, min=number(low), max=number(high), cells=cells, clip=True, learnt=purpose
            )
        except SchemaError:  # a special value or the decimals leave a cell empty
            cells //= 2
    return _replaced(column, clip=True, learnt=purpose)


def not_used(column: IntegerColumn | NumberColumn, cells: int) -> IntegerColumn | NumberColumn:
    """The column between its declared bounds, which were how far the search might go: what it found is not used. One that
    was inspected says for ever that it was, and that its bounds were learnt."""
    known = with_bounds(column, column.min, column.max, cells, BOUNDS).model_dump(exclude_unset=True)
    known["reason"] = "; ".join(words for words in (column.reason, NOT_USED) if words)
    if column.was is None:
        known |= {"origin": "public", "learnt": None, "was": "searched"}
    return type(column)(**known)


def _replaced(column: Searched, **known: Any) -> Searched:
    declared = column.model_dump(exclude_unset=True)
    declared.pop("discover")
    return type(column)(**{**declared, "origin": "dp", **known})
