"""A Postgres server to make tables in. These tests are `make test-postgres`, not part of `make test`."""

from __future__ import annotations

import os

import pytest

WANTED = "DPSYNTH_POSTGRES"
"""Address of a database without a password; `with_server.py` starts one."""

collect_ignore_glob = [] if WANTED in os.environ else ["test_*.py"]
"""A plain `pytest` needs neither a server nor its driver and leaves these out."""


@pytest.fixture(scope="session")
def server() -> str:
    return os.environ[WANTED]
