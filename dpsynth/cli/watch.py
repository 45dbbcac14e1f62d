"""The verb that watches: monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpsynth import monitoring
from dpsynth.cli.common import Answer, Screen
from dpsynth.errors import UsageError
from dpsynth.monitoring import Drift
from dpsynth.privacy.ledger import Ledger
from dpsynth.unfinished import require_room, write_private

MOST_LINES = 10


def monitor(
    screen: Screen,
    release: Annotated[
        Path,
        typer.Argument(
            metavar="RELEASE", help="A release, its public folder, or a model.", show_default=False
        ),
    ],
    data: Annotated[
        Path, typer.Argument(metavar="NEWDATA", help="Newer rows of the same kind.", show_default=False)
    ],
    epsilon: Annotated[
        float | None,
        typer.Option(
            "--epsilon",
            help="Measure the new rows for this charge: the result may be shared.",
            show_default=False,
        ),
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Instead of the ledger's.", show_default=False)
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="Who pays; needed with --epsilon.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file for the findings.", show_default=False)
    ] = None,
) -> Answer:
    """Has the world moved on since a release? Free and internal, or for a charge and to be shared."""
    if (epsilon is None) != (ledger is None):
        raise UsageError(
            "U174",
            "a charge needs an epsilon and a ledger",
            "give both --epsilon and --ledger, or neither: then nothing is spent and the result is internal",
        )
    _require_new(out)
    measured = monitoring.released(release)
    if epsilon is None or ledger is None:
        found, left = monitoring.drift(measured, data), None
    else:
        with Ledger.load(ledger) as account, screen.progress() as progress:
            found = monitoring.charged_drift(
                measured, data, epsilon=epsilon, delta=delta, ledger=account, progress=progress
            )
            left = account.remaining().words
    if out is not None:
        write_private(out, found.as_json())
    return Answer({**found.as_json(), "left": left}, _text(found, left))


def _require_new(out: Path | None) -> None:
    """A charge is not taken back: see that its findings can be written before it is made."""
    if out is None:
        return
    if out.exists():
        raise UsageError("U175", f"{out} exists already", "name a new file with --out")
    require_room(out)


def _text(found: Drift, left: str | None) -> str:
    lines = [found.words]
    for change in found.changes[:MOST_LINES]:
        what = " x ".join(change.clique)
        mark = "changed" if change.changed else "-"
        lines.append(
            f"  {what:30s} {change.distance:7.2%} of the rows differ; by chance {change.expected:.2%} "
            f"(p = {change.adjusted_p:.2g}, all tables counted) {mark}"
        )
    if len(found.changes) > MOST_LINES:
        lines.append(f"  and {len(found.changes) - MOST_LINES} more: --json")
    if found.receipt is None:
        lines.append(
            "INTERNAL: this compares with the new rows themselves. Nothing was spent; do not pass it on."
        )
    else:
        spent = found.receipt.certificate
        lines.append(f"Spent: epsilon {spent.epsilon:.4g} at delta {spent.delta:g}. This may be shared.")
        lines.append(f"In the ledger: {left}")
    return "\n".join(lines)
