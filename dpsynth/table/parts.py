"""Where rows come from: parts, each a set of Arrow columns that knows its rows' places in the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpsynth.columns import Column, DropColumn, IdColumn
from dpsynth.errors import DataError
from dpsynth.ruled import RuledColumn
from dpsynth.schema import CsvFormat, Schema
from dpsynth.strict_yaml import shown

Arrow = Any
"""A pyarrow.ChunkedArray."""


@dataclass(frozen=True)
class Part:
    """Columns of equal length, and where row i (from 0) stands: ``line 812``, ``row 811 of b.parquet``."""

    columns: Mapping[str, Arrow]
    rows: int
    place: Callable[[int], str]
    form: CsvFormat | None = None
    """How its texts write numbers, where they come from a csv file."""


@dataclass(frozen=True)
class Wanted:
    """Which columns a source must, may and must not have."""

    needed: tuple[str, ...]
    """Read when there, an error when not."""
    optional: frozenset[str]
    """Among them, those that may lack."""
    ignored: frozenset[str]
    unit: str = ""
    """The one that names units, where there is one."""

    @classmethod
    def of(cls, schema: Schema, require_unit: bool) -> Wanted:
        # what follows a rule is read back from synthetic rows, and read past in real ones
        unread = DropColumn | RuledColumn if require_unit else DropColumn
        kept = [name for name, column in schema.columns.items() if not isinstance(column, unread)]
        unit = schema.unit.column
        if unit is not None and unit not in kept:
            kept.append(unit)
        ids = {name for name in kept if _is_id(schema.columns.get(name))}
        dropped = frozenset(schema.columns) - set(kept)
        return cls(tuple(kept), frozenset() if require_unit else frozenset(ids), dropped, unit or "")

    def check(self, names: Sequence[str]) -> list[str]:
        """The columns to read. Raises DataError for one too many, too few, or twice (D103 to D105)."""
        seen = set(names)
        lacking = [name for name in self.needed if name not in seen and name not in self.optional]
        extra = [name for name in names if name not in self.needed and name not in self.ignored]
        if 2 * len(lacking) > len(self.needed):
            raise self._no_header(len(lacking))
        if lacking:
            also = f"; the data has {_names(extra)}, which the schema lacks" if extra else ""
            raise DataError(
                "D104", f"the data lacks {_names(lacking)}{also}", "correct the schema or the data"
            )
        if len(seen) < len(names):
            raise _repeated(names)
        if extra:
            fix = "declare it, or mark it with type: drop"
            raise DataError("D103", f"the schema lacks {_names(extra)}", fix)
        return [name for name in self.needed if name in seen]

    def _no_header(self, lacking: int) -> DataError:
        # without a header line the "names" would be somebody's values: they are not repeated
        found = len(self.needed) - lacking
        share = f"{found} of the {len(self.needed)}" if found else f"none of the {len(self.needed)}"
        return DataError(
            "D104",
            f"{share} declared columns {'is' if found < 2 else 'are'} in the data",
            "is there a header line, and is the delimiter that of data: csv: {delimiter: ...}?",
        )


def _repeated(names: Sequence[str]) -> DataError:
    first: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        if first.setdefault(name, position) != position:
            twice = f"columns {first[name]} and {position} have the same name"
            return DataError("D105", f"{twice}: {_names([name])}", "rename one of them")
    raise ValueError("no name is repeated")


def _is_id(column: Column | None) -> bool:
    return column is None or isinstance(column, IdColumn | RuledColumn)


def _names(names: Sequence[str], most: int = 5) -> str:
    """Header names for an error: shortened, counted."""
    listed = ", ".join(f"'{shown(name)}'" if name else "a column without a name" for name in names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (
        ("column " if len(names) == 1 and names[0] else "columns " if len(names) > 1 else "") + listed + more
    )
