"""Verbs before anything is spent: init, schema, check, plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dpsynth import draft, synthesis
from dpsynth.budget import Budget
from dpsynth.cli import choosing
from dpsynth.cli.clusters import SPARK, checked_there
from dpsynth.cli.common import Answer, ProjectFile, Screen
from dpsynth.cli.words import plan_data, plan_text
from dpsynth.constraining import broken_by_source, refusal
from dpsynth.constraint_checks import Finding, findings, named_rule, refuse_contradictions
from dpsynth.errors import CapacityError, DataError, UsageError
from dpsynth.model.rehearsal import rehearse, told
from dpsynth.project import Project, json_schema
from dpsynth.release import ReleaseFields, before_spending, policy, privacy_form
from dpsynth.synthesis import Plan
from dpsynth.table import misfits, read_table
from dpsynth.table.units import units_found

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "project": json_schema,
    "policy": policy.json_schema,
    "privacy": privacy_form.json_schema,
}


def init(
    screen: Screen,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="The private table: only its header is read, unless --inspect.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PROJECT.yaml", help="The draft.")] = Path(
        "project.yaml"
    ),
    from_public: Annotated[
        Path | None,
        typer.Option(
            "--from-public", help="Learn types and bounds from this public sample.", show_default=False
        ),
    ] = None,
    inspect: Annotated[
        bool,
        typer.Option("--inspect", help="Look at the private rows; every entry is stamped origin: inspected."),
    ] = False,
) -> Answer:
    """Draft a project file. What it cannot know without looking is left for a person to fill in."""
    if out.exists():
        raise UsageError("U104", f"{out} exists already", "name a new file with -o")
    if from_public and inspect:
        raise UsageError("U105", "--from-public and --inspect exclude each other", "choose one")
    folder = out.resolve().parent
    if inspect:
        text = draft.draft_by_inspection(data, folder=folder)
    elif from_public:
        text = draft.draft_from_public(from_public, data=data, folder=folder)
    else:
        text = draft.draft_from_header(data, folder=folder)
    out.write_text(text, encoding="utf-8")
    return Answer(
        {"project": str(out)}, f"draft: {out}; replace what is marked TODO, then run: dpsynth check {out}"
    )


def schema(
    screen: Screen,
    of: Annotated[
        str, typer.Option("--of", help="project, policy or privacy (the file in a bundle).")
    ] = "project",
) -> Answer:
    """Print the JSON Schema of the project file, so that an editor completes and checks it."""
    if of not in SCHEMAS:
        raise UsageError("U182", f"there is no schema of {of!r}", f"choose one of {', '.join(SCHEMAS)}")
    content = SCHEMAS[of]()
    return Answer(content, json.dumps(content, indent=2, ensure_ascii=False))


def check(
    screen: Screen,
    project: ProjectFile,
    data: Annotated[
        bool, typer.Option("--data/--no-data", help="Read the table too (releases nothing).")
    ] = True,
) -> Answer:
    """Is everything in order? Schema, promise, sizes; with data: does every row fit. Spends nothing."""
    spec = Project.load(project)
    budget = spec.run_budget()
    refuse_contradictions(spec.schema, spec.constraint_lines)
    planned = _planned(spec, spec.generator.method, budget)
    found: dict[str, Any] = {"columns": len(spec.schema.columns), "memory_bytes": planned.memory()}
    lines = [
        f"columns: {len(spec.schema.columns)}, of them modelled: {len(spec.schema.domain)}; "
        f"memory for tables of counts: about {max(1, round(planned.memory() / 2**20)):,} MB"
    ]
    lines.append(_price(spec, budget))
    rows = spec.generator.rows
    if rows and budget.delta > rows**-2:
        lines.append(
            f"warning: delta is above 1 / rows^2 = {rows**-2:.1g}; whole rows may leak with that probability"
        )
    if spec.schema.constraints:
        wrong = findings(spec.schema)
        found["constraints"] = {
            "declared": len(spec.schema.constraints),
            "findings": [asdict(f) for f in wrong],
        }
        lines += _rules(spec, wrong)
        found["constraints"]["doubts"] = list(rehearse(spec.schema))
        lines += [f"warning: {doubt}" for doubt in told(found["constraints"]["doubts"])]
    if data:
        refused = _read(spec, found, lines)
        if refused is not None:
            return refused
    rules = None if spec.policy_path is None else policy.Policy.load(spec.policy_path)
    promise = spec.budget.promise.budget if spec.budget and spec.budget.promise else budget
    human = ReleaseFields.from_json(spec.release.human())
    gate = before_spending(spec.schema, human, rules, budget, promise)
    open_points = [c.words for c in gate.checks if not c.passed]
    lines += [f"before a release: {words}" for words in open_points]
    return Answer({**found, "before_release": open_points}, "\n".join(lines))


def _price(spec: Project, budget: Budget) -> str:
    """What this run may cost, and what all runs together may."""
    line = f"this run: at most epsilon {budget.epsilon:g} at delta {budget.delta:g} for {synthesis.unit_of(spec.schema)}"
    promise = spec.budget.promise if spec.budget else None
    if promise is None:
        return f"{line}; no promise is declared: a new ledger is opened with just this, so that no second run fits"
    return f"{line}; promised for all runs together: epsilon {promise.epsilon:g} at delta {promise.delta:g}"


def _read_there(spec: Project, found: dict[str, Any], lines: list[str]) -> Answer | None:
    """As `_read`, on a cluster, which says the first thing that does not fit."""
    try:
        found["rows"] = checked_there(spec)
    except DataError as error:
        return _misfits(lines, error, [error])
    lines.append(f"data: all {found['rows']} rows fit the schema")
    return None


def _read(spec: Project, found: dict[str, Any], lines: list[str]) -> Answer | None:
    """What the rows say, added to `found` and `lines`; the answer when they do not fit."""
    if spec.data.engine == SPARK:
        return _read_there(spec, found, lines)
    try:
        table = read_table(spec.source, spec.schema)
    except DataError as error:
        return _misfits(lines, error, misfits(spec.source, spec.schema))
    found["rows"] = len(table)
    lines.append(f"data: all {found['rows']} rows fit the schema")
    people = len(table) if table.units is None else len(np.unique(table.units))
    if spec.run_budget().delta * people > 1:
        lines.append(
            f"warning: delta is above 1 / (number of {spec.schema.unit.entity}s): a method that gives away one of them at "
            "random would keep such a promise; take one far below"
        )
    broken = broken_by_source(table, spec.source, spec.schema)
    found["broken_constraints"] = [asdict(one) for one in broken]
    lines += [f"data: {one}" for one in broken]
    if broken and spec.data.violations == "refuse":
        return Answer(found, "\n".join(lines), error=refusal(broken))
    units = units_found(table)
    if units is not None:
        found["units"] = asdict(units)
        lines += units.words(table)
    return None


def _rules(spec: Project, wrong: Sequence[Finding]) -> list[str]:
    found = [f"constraints: {len(spec.schema.constraints)}; none contradicts the others"]
    for finding in wrong:
        named = ", ".join(named_rule(spec.schema, n, spec.constraint_lines) for n in finding.rules)
        found.append(f"{finding.kind}: {named}: {finding.words}")
    return found


def _misfits(lines: list[str], first: DataError, every: list[DataError]) -> Answer:
    """Each column that does not fit: where, how often and what to do, never a value."""
    listed = [*lines, "data: does not fit the schema", *(f"  {error}" for error in every)]
    return Answer({"misfits": [error.as_json() for error in every]}, "\n".join(listed), error=first)


def plan(
    screen: Screen,
    project: ProjectFile,
    epsilon: Annotated[
        str | None, typer.Option("--epsilon", help="One or several, such as 0.5,1,2.", show_default=False)
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", help="Methods, such as independent,mst.", show_default=False)
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="About how many rows the table has, for errors as shares.")
    ] = 10_000,
) -> Answer:
    """What a run would ask, how much noise, which error it makes, at which price. Reads no rows, spends nothing."""
    spec = Project.load(project)
    budgets = [spec.run_budget(value) for value in (_numbers(epsilon) if epsilon else [None])]
    if compare:
        return _compared(spec, [m.strip() for m in compare.split(",")], budgets, rows, bool(screen.verbose))
    plans = [_planned(spec, spec.generator.method, budget) for budget in budgets]
    return Answer(
        {"rows": rows, "plans": [plan_data(p, rows) for p in plans]},
        "\n\n".join(plan_text(p, rows) for p in plans),
    )


def _compared(
    spec: Project, methods: Sequence[str], budgets: Sequence[Budget], rows: int, verbose: bool
) -> Answer:
    """A short table and an advice first; each plan in full with -v."""
    found = [_considered(spec, method, budget) for method in methods for budget in budgets]
    plans = [c.plan for c in found if c.plan is not None]
    advice = [choosing.advised([c for c in found if c.epsilon == b.epsilon], rows) for b in budgets]
    text = choosing.summary(found, advice, rows)
    details = "\n\n".join(plan_text(p, rows) for p in plans) if verbose else "details: dpsynth plan -v ..."
    content = {
        "rows": rows,
        "compared": [c.as_json(rows) for c in found],
        "recommended": [{"epsilon": a.epsilon, "method": a.method, "reason": a.reason} for a in advice],
        "plans": [plan_data(p, rows) for p in plans],
    }
    return Answer(content, f"{text}\n\n{details}")


def _considered(spec: Project, method: str, budget: Budget) -> choosing.Considered:
    try:
        return choosing.Considered(method, budget.epsilon, _planned(spec, method, budget))
    except CapacityError as refused:
        return choosing.Considered(method, budget.epsilon, None, refused)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError("U103", "--epsilon is no list of numbers", "write --epsilon 0.5,1,2") from None


def _planned(spec: Project, method: str, budget: Budget) -> Plan:
    return synthesis.plan(
        spec.schema,
        method=method,
        epsilon=budget.epsilon,
        delta=budget.delta,
        workload=spec.generator.workload.workload,
        max_cells=spec.generator.max_cells,
        count_cells=spec.generator.count_cells,
    )
