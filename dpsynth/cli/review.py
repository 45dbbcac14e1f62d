"""Verbs that check: audit, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import attacks
from dpsynth import evaluation, release
from dpsynth.cli.common import Answer, Screen
from dpsynth.errors import AuditError, UsageError
from dpsynth.schema import Schema
from dpsynth.table import read_table

FOUND = AuditError.exit_code


def audit(
    screen: Screen,
    synthetic: Annotated[Path, typer.Option("--synthetic", help="The synthetic table.", show_default=False)],
    train: Annotated[Path, typer.Option("--train", help="The rows it was made from.", show_default=False)],
    schema: Annotated[Path, typer.Option("--schema", help="A schema or project file.", show_default=False)],
    holdout: Annotated[
        Path | None, typer.Option("--holdout", help="Rows that were held out.", show_default=False)
    ] = None,
    epsilon: Annotated[float | None, typer.Option("--epsilon", help="What was claimed.", show_default=False)] = None,
    delta: Annotated[float | None, typer.Option("--delta", help="What was claimed.", show_default=False)] = None,
    split: Annotated[
        str, typer.Option("--split", help="random: chance alone decided who was held out; else unknown.")
    ] = "unknown",
) -> Answer:
    """Attack anybody's synthetic table, and say how good it is. Exit 6 when it breaks its own claim."""
    if (epsilon is None) != (delta is None):
        raise UsageError("U106", "a claim is a pair", "give both --epsilon and --delta, or neither")
    if split not in {"random", "unknown"}:
        raise UsageError("U107", f"--split {split!r} means nothing", "write --split random, or leave it out")
    known = Schema.load(schema)
    rows = read_table(synthetic, known, require_unit=False)
    members = read_table(train, known)
    controls = None if holdout is None else read_table(holdout, known)
    with screen.progress() as progress:
        suite = attacks.run_suite(
            rows,
            members,
            controls,
            known,
            None if epsilon is None or delta is None else (epsilon, delta),
            split_is_random=split == "random",
            progress=progress,
        )
        found = None
        if controls is not None and min(len(rows), len(members), len(controls)) > 0:
            found = evaluation.evaluate(rows, members, controls, known, rng=np.random.default_rng(), progress=progress)
    data = {"verdict": suite.verdict, "attacks": suite.as_json(), "evaluation": found.as_json() if found else None}
    return Answer(data, str(suite), FOUND if suite.verdict == attacks.VIOLATION else 0)


def verify(
    screen: Screen,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A release, or its public folder.", show_default=False)],
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="Also look for its head in this ledger.", show_default=False)
    ] = None,
) -> Answer:
    """Check a release offline: every file, the promise from its events, the rows against the schema."""
    found = release.verify(folder, ledger=ledger)
    return Answer(found.as_json(), found.words)
