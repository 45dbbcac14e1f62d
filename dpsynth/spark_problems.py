"""What Spark says when something fails -> one line of ours. Spark's own sentences may quote cells: none is repeated."""

from __future__ import annotations

import re

from dpsynth.errors import CapacityError, DataError, DPSynthError, UsageError

ROOM = "set spark.local.dir to a folder on a larger disk, or take more workers"


def is_of_spark(error: BaseException) -> bool:
    """Whether an exception comes from Spark, or from the bridge to it."""
    return type(error).__module__.split(".")[0] in {"pyspark", "py4j"}


def explained(error: BaseException) -> DPSynthError:
    """The error of ours for one of Spark's: what went wrong and the way out."""
    text = f"{type(error).__name__} {error}"
    for signs, make in _KNOWN:
        if any(sign in text for sign in signs):
            return make(_kind(error))
    return DataError(
        "D185",
        f"Spark could not read the table to its end ({_kind(error)})",
        "are all files whole, and may every worker read them? Spark's own logs say more",
    )


def _kind(error: BaseException) -> str:
    """The name that Spark gives the condition, or its class: a word in capitals, never a sentence."""
    condition = getattr(error, "getCondition", lambda: None)()
    if isinstance(condition, str) and re.fullmatch(r"[A-Z0-9_.]{3,80}", condition):
        return condition
    found = re.search(r"\[([A-Z][A-Z0-9_]{2,60}(?:\.[A-Z0-9_]{2,60})*)\]", str(error))
    return found.group(1) if found else type(error).__name__


def _no_room(kind: str) -> DPSynthError:
    return CapacityError("C180", "no room on the disks of Spark's workers", ROOM)


def _no_memory(kind: str) -> DPSynthError:
    return CapacityError(
        "C181",
        "the memory of Spark's driver or of a worker is not enough",
        "raise spark.driver.memory, spark.executor.memory or spark.driver.maxResultSize",
    )


def _lost(kind: str) -> DPSynthError:
    return CapacityError(
        "C182",
        "the connection to Spark is lost, or too many of its workers are",
        "look into the logs of the cluster and try again",
    )


def _gone(kind: str) -> DPSynthError:
    return DataError(
        "D181",
        f"the table, or a file of it, is not there, or no longer ({kind})",
        "check its name; keep it as it is until the run has ended",
    )


def _ragged(kind: str) -> DPSynthError:
    return DataError(
        "D182",
        "the csv files have rows, or headers, that do not fit their first header",
        "check quotes and the delimiter; dpsynth check with engine: memory names the line",
    )


def _differing(kind: str) -> DPSynthError:
    return DataError(
        "D183",
        f"the files are not of one table, or one is damaged ({kind})",
        "write them with the same columns and types",
    )


def _unknown_type(kind: str) -> DPSynthError:
    return DataError(
        "D188",
        f"a column of the parquet files has a type that Spark cannot read ({kind})",
        "write moments in microseconds and times of day as texts, or leave the column out; engine: duckdb reads them",
    )


def _not_installed(kind: str) -> DPSynthError:
    return UsageError(
        "U284",
        "Spark's workers lack dpsynth, or one of the packages that it needs",
        "install the same dpsynth-audit on all of them, and set PYSPARK_PYTHON to its python",
    )


_KNOWN = (
    (("No space left on device", "DiskErrorException", "Disk quota exceeded"), _no_room),
    (("OutOfMemoryError", "spark.driver.maxResultSize", "MemoryError"), _no_memory),
    (("ModuleNotFoundError", "No module named"), _not_installed),
    (
        (
            "MALFORMED_RECORD_IN_PARSING",
            "CSV header does not conform",
            "Number of column in CSV header",
            "MALFORMED_CSV_RECORD",
        ),
        _ragged,
    ),
    (
        (
            "PATH_NOT_FOUND",
            "TABLE_OR_VIEW_NOT_FOUND",
            "FILE_NOT_EXIST",
            "FileNotFoundException",
            "It is possible the underlying files have been updated",
        ),
        _gone,
    ),
    (("PARQUET_TYPE_",), _unknown_type),
    (
        (
            "FAILED_READ_FILE",
            "CANNOT_READ_FILE_FOOTER",
            "CANNOT_MERGE_SCHEMAS",
            "is not a Parquet file",
            "SchemaColumnConvertNotSupported",
            "PARQUET_COLUMN_DATA_TYPE_MISMATCH",
            "UNABLE_TO_INFER_SCHEMA",
        ),
        _differing,
    ),
    (
        (
            "ExecutorLostFailure",
            "SparkContext was shut down",
            "stopped SparkContext",
            "SparkContext has been shut down",
            "Py4JNetworkError",
            "Connection refused",
            "All masters are unresponsive",
        ),
        _lost,
    ),
)
