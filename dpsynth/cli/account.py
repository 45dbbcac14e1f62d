"""Verbs of the ledger: show, open, export, verify, charge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dpsynth.budget import Budget
from dpsynth.cli.common import Answer, Screen
from dpsynth.privacy.accounting import gaussian_mu
from dpsynth.privacy.ledger import Ledger, Unit

LedgerArgument = Annotated[
    Path, typer.Argument(metavar="LEDGER", help="The ledger file.", show_default=False)
]


def show(screen: Screen, ledger: LedgerArgument) -> Answer:
    """What was promised, what is spent, what is left, entry by entry."""
    with Ledger.load(ledger) as account:
        return Answer(account.export(), _page(account))


def open(
    screen: Screen,
    ledger: LedgerArgument,
    dataset: Annotated[
        str, typer.Option("--dataset", help="Name of the population of people.", show_default=False)
    ],
    epsilon: Annotated[
        float, typer.Option("--epsilon", help="Promised for all runs together.", show_default=False)
    ],
    delta: Annotated[
        float, typer.Option("--delta", help="Promised for all runs together.", show_default=False)
    ],
    entity: Annotated[str, typer.Option("--entity", help="Whose privacy: row, person, patient, ...")] = "row",
    column: Annotated[
        str | None,
        typer.Option("--column", help="The column that tells one unit from another.", show_default=False),
    ] = None,
    rows_per_unit: Annotated[
        int, typer.Option("--rows-per-unit", min=1, help="Rows of one unit that are kept.")
    ] = 1,
) -> Answer:
    """Open a ledger: promise an (epsilon, delta) to the people in a data set, once and for all."""
    unit = Unit(entity, column, rows_per_unit)
    with Ledger.open(ledger, dataset=dataset, promise=Budget(epsilon, delta), unit=unit) as account:
        return Answer({"ledger": str(ledger), "head": account.head}, _page(account))


def export(
    screen: Screen,
    ledger: LedgerArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; default: standard output.", show_default=False)
    ] = None,
) -> Answer:
    """All entries as JSON, without the secret key. For the owner: entries say when and what was asked."""
    with Ledger.load(ledger) as account:
        content = account.export()
    if out is None:
        return Answer(content, json.dumps(content, indent=2, ensure_ascii=False))
    out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Answer({"file": str(out)}, f"{len(content['entries'])} entries: {out}")


def verify(
    screen: Screen,
    ledger: LedgerArgument,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="A head stated in a bundle; may be repeated.", show_default=False),
    ] = None,
) -> Answer:
    """Check every entry, the chain of hashes and the head file. Exit 7 when something was changed."""
    found = Ledger.verify(ledger, heads=tuple(head or ()))
    text = f"intact: {found.entries} entries of {found.dataset!r}, head {found.head}"
    notes = "".join(f"\nnote: {notice.text}" for notice in found.notices)
    data = {"intact": True, "dataset": found.dataset, "entries": found.entries, "head": found.head}
    return Answer(data, text + notes)


def charge(
    screen: Screen,
    ledger: LedgerArgument,
    tool: Annotated[str, typer.Option("--tool", help="Which tool released it.", show_default=False)],
    purpose: Annotated[str, typer.Option("--purpose", help="What was released.", show_default=False)],
    epsilon: Annotated[float, typer.Option("--epsilon", help="What it cost.", show_default=False)],
    delta: Annotated[float, typer.Option("--delta", help="What it cost.", show_default=False)],
    already_out: Annotated[
        bool, typer.Option("--already-out", help="It has been released: enter it even if it does not fit.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take of this account; enter nothing.")
    ] = False,
) -> Answer:
    """Enter what another tool released about the same people. It is not taken back: see --dry-run first."""
    with Ledger.load(ledger) as account:
        promised = account.promise
        alone = Ledger.in_memory(promised, account.unit)
        whole = alone.remaining().mu
        alone.charge_external(purpose, epsilon, delta, tool=tool, already_out=True)
        share = 1 - (alone.remaining().mu / whole) ** 2
        ours = (gaussian_mu(epsilon, promised.delta) / whole) ** 2
        if not dry_run:
            account.charge_external(purpose, epsilon, delta, tool=tool, already_out=already_out)
        left = account.remaining().words
    text = f"{'nothing was entered' if dry_run else 'entered'}; it takes {share:.1%} of this account; left: {left}"
    if share > _DEAR * ours:
        text += (
            f"\nnote: a run of ours with epsilon {epsilon:g} takes {ours:.1%}. Of the other tool only epsilon and delta are "
            "known, not the noise, so the account thinks of the worst mechanism that keeps them."
        )
    return Answer({"entered": not dry_run, "share": share, "left": left}, text)


_DEAR = 1.5


def _page(account: Ledger) -> str:
    promise, spent = account.promise, account.spent()
    lines = [
        f"account:   {account.dataset}, which protects {account.unit}",
        f"promised:  epsilon {promise.epsilon:g} at delta {promise.delta:g}, for everything ever released about them",
        f"spent:     epsilon {spent.epsilon:.4g}",
        f"left:      {account.remaining().words}",
        "",
    ]
    lines += [
        f"{line.sequence:>4}  {line.at[:16]}  {line.kind:<9} {line.what}: {line.state}"
        for line in account.lines()
    ]
    lines += [f"note: {notice.text}" for notice in account.notices()]
    return "\n".join(lines)
