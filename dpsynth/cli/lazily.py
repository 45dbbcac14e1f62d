"""Groups of verbs whose modules are imported when one of them is called: help costs a moment, a verb what it needs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from dpsynth.cli.common import INTERRUPTED, verb


@dataclass(frozen=True)
class Verb:
    """A function of the verb's own name in a module of `dpsynth.cli`; `summary`: the first paragraph of its help."""

    module: str
    summary: str


def group(verbs: Mapping[str, Verb], **options: Any) -> typer.Typer:
    """An app with these verbs; `options` as for `typer.Typer`."""

    class Lazy(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name, known, rest = super().resolve_command(ctx, args)
            entry = verbs.get(name or "")
            return name, known if entry is None else _command(str(name), entry.module), rest

    app = typer.Typer(cls=Lazy, no_args_is_help=True, rich_markup_mode=None, **options)
    for name, entry in verbs.items():
        app.command(name=name, help=entry.summary)(_nothing)
    return app


def _command(name: str, module: str) -> Any:
    """The verb itself."""
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    try:
        own = getattr(import_module(f"dpsynth.cli.{module}"), name)
    except KeyboardInterrupt:
        # it takes a second, and whoever calls this ends without a word
        sys.stderr.write("interrupted; nothing was started\n")
        raise typer.Exit(INTERRUPTED) from None
    alone.command(name=name)(verb(own))
    return get_command(alone)


def _nothing() -> None:
    """Stands for a verb where its name and summary are all that is asked for."""
