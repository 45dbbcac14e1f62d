"""Ruled columns at the edge: as a frame and a file hold them, and read back from a synthetic file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth.errors import DataError
from dpsynth.ruled import ComputedColumn, RuledColumn

Mask = NDArray[np.bool_]


def ruled_series(column: RuledColumn, array: NDArray[Any], missing: Mask, text: Any) -> Any:
    """A column of a frame; its type follows from the declaration alone. `text`: what the frame holds texts in."""
    nullable = isinstance(column, ComputedColumn)
    match column.kind:
        case "text":
            return pd.Series(array, dtype=text).mask(missing, None)
        case "number":
            return np.where(missing, np.nan, array)
        case "integer":
            return pd.arrays.IntegerArray(array.copy(), missing.copy()) if nullable else array
        case _:
            return array.astype(bool)


def ruled_arrow(column: RuledColumn, array: NDArray[Any], missing: Mask) -> Any:
    """A column of an Arrow table."""
    kinds = {"text": pa.large_string(), "number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
    values = array.astype(bool) if column.kind == "boolean" else array
    return pa.array(values, kinds[column.kind], mask=missing)


def ruled_texts(
    column: RuledColumn, array: NDArray[Any], decimal: str
) -> tuple[list[str], NDArray[np.int64]]:
    """The different texts of a column in a csv file, and which of them each row has."""
    if column.kind == "boolean":
        return ["False", "True"], array.astype(np.int64)
    distinct, codes = np.unique(array.astype(str) if column.kind == "text" else array, return_inverse=True)
    if column.kind == "number":
        return [repr(value).replace(".", decimal) for value in distinct.tolist()], codes.reshape(-1)
    return [str(value) for value in distinct.tolist()], codes.reshape(-1)


def ruled_values(
    name: str, column: RuledColumn, texts: NDArray[Any], markers: Sequence[str], decimal: str
) -> tuple[NDArray[Any], Mask]:
    """What a synthetic file holds. Raises DataError (D170) for what the rule could not have written."""
    nullable = isinstance(column, ComputedColumn)
    gone = np.array([text is None or (nullable and text in markers) for text in texts], dtype=bool)
    try:
        match column.kind:
            case "text":
                return np.where(gone, "", texts).astype(object), gone
            case "number":
                plain = [
                    0.0 if lost else float(t.replace(decimal, "."))
                    for t, lost in zip(texts, gone, strict=True)
                ]
                return np.array(plain, dtype=np.float64), gone
            case "integer":
                whole = [0 if lost else int(t) for t, lost in zip(texts, gone, strict=True)]
                return np.array(whole, dtype=np.int64), gone
            case _:
                truth = {"true": 1, "false": 0}
                return np.array([truth[t.lower()] for t in texts], dtype=np.uint8), gone
    except (ValueError, KeyError, AttributeError, OverflowError):
        raise DataError(
            "D170",
            f"column '{name}' holds what its rule does not give",
            "it is made by sampling: draw the rows again",
        ) from None
