"""What is not imported: a verb starts in a moment, and a first fit pays for no library that it does not need."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpsynth.cli.app import LEDGER_VERBS, VERBS, app
from dpsynth.cli.lazily import Verb

ROOT = Path(__file__).resolve().parents[1]

FIT = """
import pandas as pd
from dpsynth import Schema, fit
schema = Schema(columns={n: {"type": "category", "values": [0, 1, 2]} for n in "abc"})
frame = pd.DataFrame({n: [0, 1, 2, 1] * 250 for n in "abc"})
print(fit(frame, schema, method="mst", epsilon=1.0, delta=1e-9).method)
"""


def loaded(program: str, *unwanted: str) -> set[str]:
    """Which of the modules a program has imported at its end."""
    watched = f"import sys\n{program}\nprint('LOADED', *({set(unwanted)!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", watched], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def called(*words: str) -> str:
    """A program that calls `dpsynth` with these words."""
    return (
        f"sys.argv = ['dpsynth', *{words!r}]\nfrom dpsynth.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )


def test_help_loads_no_data_library() -> None:
    assert loaded(called("--help"), "numpy", "pandas", "pyarrow", "scipy", "attacks", "numba") == set()


@pytest.mark.parametrize("words", [("check", "dpsynth/demo_data/demo.yaml"), ("ledger", "--help")])
def test_a_verb_loads_what_it_needs(words: tuple[str, ...]) -> None:
    unwanted = {
        "attacks",
        "dpsynth.evaluation",
        "dpsynth.pipeline",
        "scipy.optimize",
        "scipy.stats",
        "numba",
        "torch",
    }
    assert loaded(called(*words), *unwanted) == set()


def test_a_small_first_fit_compiles_nothing() -> None:
    assert loaded(FIT, "numba", "scipy.optimize", "scipy.stats", "torch", "duckdb", "pyspark") == set()


@pytest.mark.parametrize("verbs", [VERBS, LEDGER_VERBS], ids=["verbs", "ledger"])
def test_summaries_are_what_the_verbs_say_of_themselves(verbs: dict[str, Verb]) -> None:
    for name, entry in verbs.items():
        function = getattr(importlib.import_module(f"dpsynth.cli.{entry.module}"), name)
        first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        assert entry.summary == first, name


@pytest.mark.parametrize("words", [["--help"], ["ledger", "-h"]])
def test_help_lists_every_verb(words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    for name in VERBS if words[0] == "--help" else LEDGER_VERBS:
        assert f"  {name} " in done.output
