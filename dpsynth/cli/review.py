"""The verb that attacks: audit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import attacks
from dpsynth import evaluation, pipeline, synthesis
from dpsynth.auditing import audit_rows
from dpsynth.cli.common import Answer, Screen
from dpsynth.cli.guarantee import Asked, audit_guarantee
from dpsynth.cli.guessing import Files
from dpsynth.cli.unlike import unlike
from dpsynth.errors import AuditError, UsageError
from dpsynth.project import Project
from dpsynth.table import read_table
from dpsynth.taken import split_again
from dpsynth.unfinished import load_held_out, require_room, write_private

FOUND = AuditError.exit_code


def _option(name: str, words: str) -> Any:
    return typer.Option(name, help=words, show_default=False)


_MaybePath = Path | None
Names = list[str] | None
Synthetic = Annotated[_MaybePath, _option("--synthetic", "The synthetic table.")]
Train = Annotated[_MaybePath, _option("--train", "The rows it was made from.")]
Holdout = Annotated[_MaybePath, _option("--holdout", "Rows of other people that were held out.")]
SchemaFile = Annotated[
    _MaybePath, _option("--schema", "A schema or project file; without one, one is read off the files.")
]
Epsilon = Annotated[float | None, _option("--epsilon", "What was claimed.")]
Delta = Annotated[float | None, _option("--delta", "What was claimed.")]
Split = Annotated[
    str, typer.Option("--split", help="random: chance alone decided who was held out; else unknown.")
]
Model = Annotated[
    _MaybePath, _option("--model", "A model of ours, instead of --train and --holdout; needs --project.")
]
ProjectFile = Annotated[_MaybePath, _option("--project", "The project file that the model was fitted with.")]
LedgerFile = Annotated[
    _MaybePath, _option("--ledger", "The ledger that takes note, instead of the project's.")
]
Out = Annotated[_MaybePath, _option("--out", "A file for the findings (private); release needs it.")]
Secrets = Annotated[Names, _option("--secret", "A column that nobody may learn about a person (repeat).")]
Known = Annotated[Names, _option("--known", "A column that an attacker may know of a person (repeat).")]
Groups = Annotated[Names, _option("--group", "Attack each value of this column by itself too (repeat).")]
Time = Annotated[
    str | None, _option("--time", "CPU time that the attacks may take, such as 60s or 5m; --train only.")
]
Seed = Annotated[int | None, _option("--seed", "Same seed, same findings (--train only).")]
Guarantee = Annotated[
    bool,
    typer.Option(
        "--guarantee", help="Audit the promise itself on made-up tables, instead of a synthetic table."
    ),
]
Method = Annotated[
    Names, _option("--method", "With --guarantee: a method (repeat); else the project's, or all.")
]
Fits = Annotated[
    int | None, _option("--fits", "With --guarantee: fits for a black-box bound too, such as 2000.")
]
Command = Annotated[
    str | None,
    _option("--command", 'With --guarantee: anybody\'s generator, "program {input} {output}", csv to csv.'),
]
OnTable = Annotated[Names, _option("--table", "With --command: a built-in table (repeat); else all.")]
Journal = Annotated[
    _MaybePath, _option("--journal", "With --fits: a folder of journals, so that it can go on later.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="With --fits: processes.")]


def audit(
    screen: Screen,
    synthetic: Synthetic = None,
    train: Train = None,
    holdout: Holdout = None,
    schema: SchemaFile = None,
    epsilon: Epsilon = None,
    delta: Delta = None,
    split: Split = "unknown",
    model: Model = None,
    project: ProjectFile = None,
    ledger: LedgerFile = None,
    out: Out = None,
    secret: Secrets = None,
    known: Known = None,
    group: Groups = None,
    time: Time = None,
    seed: Seed = None,
    guarantee: Guarantee = False,
    method: Method = None,
    fits: Fits = None,
    command: Command = None,
    table: OnTable = None,
    journal: Journal = None,
    workers: Workers = 1,
) -> Answer:
    """Attack anybody's synthetic table, and say how good it is. Exit 6 when it breaks its own claim.

    With --guarantee: audit the promise itself, of our methods or of anybody's generator, on made-up tables.
    """
    _require_new(out)
    if guarantee:
        _require_no_rows(synthetic, train, holdout, schema, ledger, secret, known, group, time)
        names, tables = tuple(method or ()), tuple(table or ())
        given = Asked(names, project, model, epsilon, delta, fits, command, tables, journal, workers, out)
        return audit_guarantee(screen, given)
    if synthetic is None or any((method, fits, command, table, journal)):
        words = "give --synthetic, or --guarantee to audit the promise"
        raise UsageError("U114", "no synthetic table is named", words)
    if model is not None:
        others = (train, holdout, schema, epsilon, delta, secret, known, group, time)
        found, text = _audit_model(screen, model, synthetic, project, ledger, others)
    else:
        asked = attacks.Asked(tuple(secret or ()), tuple(known or ()), tuple(group or ()))
        options = _Options(_claim(epsilon, delta), _is_random(split), asked, _seconds(time))
        found, text = _audit_files(screen, synthetic, train, holdout, schema, options, seed)
    if out is not None:
        write_private(out, found)
    verdict = found["attacks"]["verdict"]
    return Answer({"verdict": verdict, **found}, text, FOUND if verdict == attacks.VIOLATION else 0)


def _require_no_rows(*given: object) -> None:
    if any(given):
        words = "leave out --synthetic and what goes with it"
        raise UsageError("U113", "--guarantee audits no synthetic table", words)


def _require_new(out: Path | None) -> None:
    """An audit is an entry in the ledger: see that its findings can be written before it is made."""
    if out is None:
        return
    if out.exists():
        raise UsageError("U109", f"{out} exists already", "name a new file with --out")
    require_room(out)


def _audit_model(
    screen: Screen,
    model: Path,
    synthetic: Path,
    project: Path | None,
    ledger: Path | None,
    others: tuple[object, ...],
) -> tuple[dict[str, Any], str]:
    """A model of ours, against the rows it was fitted to; an entry in the ledger. `others`: options that must be absent."""
    if project is None or any(others):
        raise UsageError(
            "U108",
            "--model goes with --project and nothing else",
            "the model knows its claim and its rows",
        )
    spec, fitted = Project.load(project), synthesis.load(model)
    settings = pipeline.settings_of(spec)
    rows = read_table(synthetic, fitted.schema)
    split = load_held_out(model)
    private = split_again(spec.source, spec.schema, split).under(fitted.schema)
    with pipeline.open_ledger(spec, ledger) as account, screen.progress() as progress:
        found, suite, _ = audit_rows(
            fitted,
            rows,
            private,
            holdout=split["probability"],
            target=settings.target,
            asked=settings.asked,
            ledger=account,
            progress=progress,
        )
    return found.as_json(), str(suite)


@dataclass(frozen=True)
class _Options:
    claim: tuple[float, float] | None
    split_is_random: bool
    asked: attacks.Asked
    time_budget: float | None


def _audit_files(
    screen: Screen,
    synthetic: Path,
    train: Path | None,
    holdout: Path | None,
    schema: Path | None,
    options: _Options,
    seed: int | None,
) -> tuple[dict[str, Any], str]:
    """Anybody's files."""
    if train is None:
        raise UsageError(
            "U110",
            "there is nothing to compare with",
            "give --train and --holdout, or --model and --project",
        )
    files = Files.of(synthetic, train, holdout, schema)
    return _audit_table(screen, files, options, np.random.default_rng(seed))


def _audit_table(
    screen: Screen, files: Files, options: _Options, rng: np.random.Generator
) -> tuple[dict[str, Any], str]:
    """Anybody's synthetic table, with the rows it was made from and, if there are some, rows held out."""
    rows, members, controls = files.tables()
    schema, asked = files.schema, options.asked
    odd = unlike(rows, members, *([] if controls is None else [controls])) if files.guessed else ()
    with screen.progress() as progress:
        suite = attacks.run_suite(
            rows,
            members,
            controls,
            schema,
            options.claim,
            split_is_random=options.split_is_random,
            secrets=asked.secrets,
            quasi_identifiers=asked.quasi_identifiers,
            groups=asked.groups,
            time_budget=options.time_budget,
            rng=rng,
            progress=progress,
        )
        suite = replace(suite, warnings=(*files.notes, *odd, *suite.warnings))
        found: dict[str, Any] = {"attacks": suite.as_json(), "evaluation": None}
        if controls is not None and min(len(rows), len(members), len(controls)) > 0:
            judged = evaluation.evaluate(rows, members, controls, schema, rng=rng, progress=progress)
            found["evaluation"] = judged.as_json()
    return found, str(suite)


def _is_random(split: str) -> bool:
    if split not in {"random", "unknown"}:
        raise UsageError("U107", f"--split {split!r} means nothing", "write --split random, or leave it out")
    return split == "random"


def _seconds(text: str | None) -> float | None:
    """60, 60s, 5m, 1h; None without an option."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?)([smh]?)", text.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError("U112", "--time is no length of time", "write --time 60s, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _claim(epsilon: float | None, delta: float | None) -> tuple[float, float] | None:
    if epsilon is None and delta is None:
        return None
    if epsilon is None or delta is None:
        raise UsageError("U106", "a claim is a pair", "give both --epsilon and --delta, or neither")
    return epsilon, delta
