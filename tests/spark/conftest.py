"""A Spark session of two workers on this machine. These tests are `make test-spark`, not part of `make test`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from dpsynth.errors import UsageError

WANTED = "DPSYNTH_SPARK"

collect_ignore_glob = [] if WANTED in os.environ else ["test_*.py"]
"""A plain `pytest` needs neither pyspark nor Java and leaves these out."""


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Fails, and says what is missing, when there is no pyspark or no Java."""
    from dpsynth.spark_session import session

    try:
        opened = session("local[2]")
    except UsageError as error:
        pytest.fail(f"the Spark tests cannot start: {error}", pytrace=False)
    opened.conf.set("spark.sql.shuffle.partitions", "4")
    yield opened
    opened.stop()
