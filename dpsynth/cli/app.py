"""All verbs of `dpsynth`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from dpsynth.cli import account, dossier, drawing, prepare, produce, review, watch
from dpsynth.cli.common import Answer, verb
from dpsynth.versions import VERSION

app = typer.Typer(
    name="dpsynth",
    help="Differentially private synthetic tables: one budget, one ledger, attacks on every release.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"dpsynth {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Differentially private synthetic tables: one budget, one ledger, attacks on every release."""


VERBS: tuple[Callable[..., Answer], ...] = (
    prepare.init,
    prepare.schema,
    prepare.check,
    prepare.plan,
    produce.fit,
    drawing.sample,
    drawing.augment,
    review.audit,
    dossier.release,
    dossier.verify,
    dossier.keygen,
    watch.monitor,
    produce.run,
    produce.demo,
)
for function in VERBS:
    app.command(name=function.__name__)(verb(function))

ledger = typer.Typer(help="Who spent what on which people, and what is left.", no_args_is_help=True)
LEDGER_VERBS: tuple[Callable[..., Answer], ...] = (
    account.show,
    account.open,
    account.export,
    account.verify,
    account.charge,
)
for function in LEDGER_VERBS:
    ledger.command(name=function.__name__)(verb(function))
app.add_typer(ledger, name="ledger")
