"""Parquet files of one table whose types differ: which may stand beside each other, each read by its own types.

Whole numbers and floats of any width are the same numbers, days are moments at their midnight, and a part without a value
has no type. Whatever else differs is refused: it is rather an accident of an export than one column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.table.ids import kind_of_ids

WAY_OUT = "write the files with the same columns, and each column with one type"


def kinds_in(path: Path) -> dict[str, Any]:
    """The Arrow types of the columns of a parquet file, by name. Raises what Arrow raises for a file that is none."""
    return {str(field.name).strip(): field.type for field in pq.read_schema(path)}


def differing(
    files: Sequence[Mapping[str, Any]],
    paths: Sequence[str | Path],
    wanted: Sequence[str],
    encoded: Iterable[str],
) -> str | None:
    """Why these columns of the files are not those of one table; None where they are. `encoded`: columns that have cells; of
    others, the ids, two types could write one id in two ways.
    """
    named, cells = [Path(path).name for path in paths], set(encoded)
    for name in wanted:
        first: dict[str, str] = {}
        for file, kinds in zip(named, files, strict=True):
            if name not in kinds:
                return f"column '{name}' is not in {file}"
            family = (_family if name in cells else kind_of_ids)(kinds[name])
            if family != "null":
                first.setdefault(family, f"{kinds[name]} in {file}")
        if len(first) > 1:
            return f"column '{name}' has several types: {' and '.join(list(first.values())[:2])}"
    return None


def _family(kind: Any) -> str:
    """The same for types in which a cell of a column that is encoded means the same."""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind):
        return "day or moment" if kind.tz is None else "moment of a time zone"
    if pa.types.is_time(kind):
        return "time of day"
    return "day or moment" if pa.types.is_date(kind) else kind_of_ids(kind)


def runs(files: Sequence[Mapping[str, Any]]) -> list[slice]:
    """Files one after another that have the same types, as slices."""
    cuts = [i for i in range(1, len(files)) if files[i] != files[i - 1]]
    return [slice(first, last) for first, last in zip([0, *cuts], [*cuts, len(files)], strict=True)]
