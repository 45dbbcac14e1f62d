"""Verbs that draw rows: sample, from a model or from a schema alone, and augment, beside a real table."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dpsynth import synthesis
from dpsynth.augmenting import LABEL, Augmented, require_internal
from dpsynth.augmenting import NOTE as PRIVATE
from dpsynth.cli.clusters import Drawer, Master, drawn_there
from dpsynth.cli.common import Answer, Screen
from dpsynth.errors import UsageError
from dpsynth.model import Drawable, FittedModel
from dpsynth.model.from_schema import MISSING, NOTE, from_schema, stand_ins
from dpsynth.model.groups import read_balance
from dpsynth.model.relaxing import without_rules
from dpsynth.schema import Schema
from dpsynth.table import Table, stream_csv, write_rows, write_tables
from dpsynth.table.folders import require_new_folder

ModelFolder = Annotated[
    Path | None, typer.Argument(metavar="[MODEL]", help="Folder of a fitted model.", show_default=False)
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="csv or parquet file; DIR, or DIR/*.csv, for a folder of numbered files; - for csv on standard output.",
        show_default=False,
    ),
]
FillMissing = Annotated[
    bool, typer.Option("--fill-missing", help="With --complete: draw missing values too.")
]
MissingShare = Annotated[
    float, typer.Option("--missing", help="With --schema: the share of values that are missing.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same rows.", show_default=False)]


_TIMES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def many(text: str) -> int:
    """5000, 5_000, 20k, 100M or 2G."""
    found = re.fullmatch(r"([0-9][0-9_]*)([kmg]?)", str(text).strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no number of rows: write 5000, 20k or 100M")
    return int(found[1].replace("_", "")) * _TIMES[found[2]]


def _argument(name: str, help: str) -> Any:
    return typer.Argument(metavar=name, help=help, show_default=False)


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=False, **more)


Rows = Annotated[
    int | None,
    _option(
        "--rows",
        "-n",
        parser=many,
        metavar="N",
        help="How many, such as 5000 or 100M; default: as many as the model counted.",
    ),
]


Where = Annotated[
    str | None, _option("--where", help="Only such rows: \"income == '>50K' and 30 <= age < 40\".")
]
Without = Annotated[
    list[int] | None,
    _option(
        "--without-rule", metavar="N", help="Leave out the project's rule of this number, from 1 (repeat)."
    ),
]
PerGroup = Annotated[str | None, _option("--per-group", help="With --rows-each: columns, such as sex,race.")]
Complete = Annotated[
    Path | None, _option("--complete", help="Rows with some of the columns: kept; the others are drawn.")
]


def sample(
    screen: Screen,
    out: Out,
    model: ModelFolder = None,
    rows: Rows = None,
    where: Where = None,
    balance: Annotated[
        list[str] | None,
        _option(
            "--balance",
            help="Equal shares: income, or sex,race; or income=0.3,0.7; or income=yes:0.3,no:0.7.",
        ),
    ] = None,
    per_group: PerGroup = None,
    rows_each: Annotated[
        int | None, _option("--rows-each", min=1, help="So many rows for each combination of --per-group.")
    ] = None,
    units: Annotated[
        int | None,
        _option("--units", min=0, help="So many units (persons, ...) with all their rows, instead of -n."),
    ] = None,
    complete: Complete = None,
    fill_missing: FillMissing = False,
    schema: Annotated[
        Path | None,
        _option("--schema", help="Instead of MODEL: rows that fit this project file, from no data at all."),
    ] = None,
    missing: MissingShare = MISSING,
    without: Without = None,
    seed: Seed = None,
    engine: Drawer = None,
    master: Master = None,
) -> Answer:
    """Draw synthetic rows from a model, as many as you like. Costs nothing; the rows are not audited.

    A condition compares columns with values (== != < <= > >=, in, is missing; and, not, and "or" within one column). A
    column with an odd name stands in `backticks`. Groups and completed rows have exactly the model's distribution given
    the group, or given the columns that were there. With --schema there is no model, no data and no charge.
    """
    if out == STDOUT and screen.json:
        raise UsageError("U245", "--json and rows both go to standard output", "name a file with -o")
    if out != STDOUT and out.exists():
        raise UsageError("U102", f"{out} exists already", "name a new file with -o")
    if out != STDOUT:
        require_new_folder(out)
    asked = _Asked(rows, where, tuple(balance or ()), per_group, rows_each, units, complete, fill_missing)
    asked.check()
    source = _source(screen, model, schema, missing, without or ())
    asked.tell_unheld(screen, source.schema)
    if engine is not None or master is not None:
        drawn = drawn_there(screen, source, out, rows, seed, engine, master, asked.only_rows)
    else:
        made = asked.batches(source, np.random.default_rng(seed))
        drawn = _written(screen, made, out, source, rows)
    return _answer(source, out, drawn, where)


def augment(
    screen: Screen,
    model: Annotated[Path, _argument("MODEL", "Folder of a fitted model.")],
    data: Annotated[Path, _argument("DATA", "The real table, csv or parquet.")],
    out: Annotated[
        Path, _option("--out", "-o", metavar="FILE", help="csv or parquet file, for internal use.")
    ],
    balance: Annotated[list[str], _option("--balance", help="Shares in the whole, as for sample.")],
    label: Annotated[
        str, typer.Option("--label", help="Name of the column that says which rows are real.")
    ] = LABEL,
    seed: Seed = None,
) -> Answer:
    """Add synthetic rows of rare classes to a real table, each row labelled. The result is private: internal use only.

    All real rows stay, and as few synthetic ones come as give the groups their shares. Costs nothing, because nothing
    leaves: the file holds every private row, is readable by its owner alone, and is never part of a release.
    """
    if out.exists():
        raise UsageError("U102", f"{out} exists already", "name a new file with -o")
    require_internal(out)
    found = Augmented.of(data, synthesis.load(model), read_balance(balance), label)
    with private_files(), screen.progress() as progress:
        total = len(found.real) + found.added
        told: Callable[[int], None] = lambda done: progress("writing", done / total)  # noqa: E731
        write_tables(found.tables(np.random.default_rng(seed)), out, found.schema, told, {"dpsynth": PRIVATE})
    screen.say(f"{out} holds every row of the real table: keep it inside")
    answer = {
        "file": str(out),
        "real": len(found.real),
        "synthetic": found.added,
        "label": label,
        "note": PRIVATE,
    }
    return Answer(answer, f"{len(found.real)} real and {found.added} synthetic rows: {out} ({PRIVATE})")


STDOUT = Path("-")


@contextmanager
def private_files() -> Iterator[None]:
    """Files made inside can be read by their owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@dataclass(frozen=True)
class _Asked:
    """Which rows were asked for."""

    rows: int | None
    where: str | None
    balance: tuple[str, ...]
    per_group: str | None
    rows_each: int | None
    units: int | None
    complete: Path | None
    fill_missing: bool

    @property
    def only_rows(self) -> bool:
        return self == _Asked(self.rows, None, (), None, None, None, None, False)

    def tell_unheld(self, screen: Screen, schema: Schema) -> None:
        """Say what constraints do not hold of such rows."""
        about = {rule.about for rule in schema.constraints}
        apart = self.complete is not None or bool(self.balance) or self.per_group is not None
        if apart and "unit" in about:
            screen.say("each row is drawn by itself here: rules about the rows of a unit do not apply")
        if (apart or self.where is not None) and "table" in about:
            screen.say("these rows are no whole table: declared totals do not apply")

    def check(self) -> None:
        """UsageError for options that contradict each other."""
        grouped = (self.per_group is not None) + (self.rows_each is not None)
        if grouped == 1:
            raise UsageError("U241", "--per-group and --rows-each belong together", "give both")
        others = {
            "-n": self.rows is not None,
            "--units": self.units is not None,
            "--where": self.where is not None,
            "--balance": bool(self.balance),
            "--per-group": bool(grouped),
        }
        clash: Mapping[str, tuple[str, ...]] = {
            "--complete": tuple(others),
            "--per-group": ("-n", "--units", "--balance"),
            "--balance": ("--units",),  # groups are made of rows
        }
        given = {
            "--complete": self.complete is not None,
            "--per-group": grouped,
            "--balance": bool(self.balance),
        }
        for one, excluded in clash.items():
            if given[one]:
                for other in excluded:
                    if others[other]:
                        raise UsageError("U242", f"{one} and {other} exclude each other", "choose one")
        if self.fill_missing and self.complete is None:
            raise UsageError("U243", "--fill-missing without --complete", "name the rows to be completed")

    def batches(self, source: Drawable, rng: np.random.Generator) -> Iterator[Table]:
        if self.complete is not None:
            return source.complete_batches(self.complete, rng, fill_missing=self.fill_missing)
        balance = read_balance([self.per_group] if self.per_group is not None else self.balance)
        return source.sample_batches(self.rows, rng, self.where, balance or None, self.rows_each, self.units)


def _source(
    screen: Screen, model: Path | None, schema: Path | None, missing: float, without: Sequence[int]
) -> Drawable:
    if (model is None) == (schema is None):
        raise UsageError("U244", "rows come from a MODEL or from --schema", "give one of the two")
    if schema is not None:
        if without:
            raise UsageError(
                "U278", "--without-rule is about a MODEL", "take the rule out of the project file"
            )
        declared = Schema.load(schema)
        for line in stand_ins(declared):
            screen.say(line)
        return from_schema(declared, missing)
    assert model is not None
    return without_rules(synthesis.load(model), without)


def _written(screen: Screen, made: Iterator[Table], out: Path, source: Drawable, rows: int | None) -> int:
    if out == STDOUT:
        return stream_csv(made, sys.stdout.buffer, source.schema)
    notes = None if isinstance(source, FittedModel) else {"dpsynth": NOTE}
    with screen.progress() as progress:
        told: Callable[[int], None] = lambda done: progress("sampling", done / rows if rows else 0.0)  # noqa: E731
        drawn = write_rows(made, out, source.schema, told, notes)
    if notes and not out.name.lower().endswith((".parquet", ".pq")):
        # a csv file has no place for a note
        out.with_name(f"{out.name.replace('*', 'all')}.note.txt").write_text(
            f"{out.name}: {NOTE}\n", encoding="utf-8"
        )
    return drawn


def _answer(source: Drawable, out: Path, drawn: int, where: str | None) -> Answer:
    data: dict[str, Any] = {"file": str(out), "rows": drawn, "where": where}
    if isinstance(source, FittedModel):
        data |= {"model": source.id, "audited": False}
        text = f"{drawn} synthetic rows: {out} (audited: no)"
    else:
        data["made_from"] = NOTE
        text = f"{drawn} rows: {out} ({NOTE})"
    return Answer(data, "" if out == STDOUT else text)
