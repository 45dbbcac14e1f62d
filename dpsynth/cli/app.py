"""All verbs of `dpsynth`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from dpsynth.cli.lazily import Verb, group
from dpsynth.versions import VERSION

VERBS: Mapping[str, Verb] = {
    "init": Verb(
        "prepare",
        "Draft a project file. What it cannot know without looking is left for a person to fill in.",
    ),
    "schema": Verb(
        "prepare", "Print the JSON Schema of the project file, so that an editor completes and checks it."
    ),
    "check": Verb(
        "prepare",
        "Is everything in order? Schema, promise, sizes; with data: does every row fit. Spends nothing.",
    ),
    "plan": Verb(
        "prepare",
        "What a run would ask, how much noise, which error it makes, at which price. Reads no rows, spends nothing.",
    ),
    "fit": Verb(
        "produce", "Fit a model: reserves its whole cost in the ledger, then counts the rows. Spends."
    ),
    "sample": Verb(
        "drawing",
        "Draw synthetic rows from a model, as many as you like. Costs nothing; the rows are not audited.",
    ),
    "augment": Verb(
        "drawing",
        "Add synthetic rows of rare classes to a real table, each row labelled. The result is private: internal use only.",
    ),
    "audit": Verb(
        "review",
        "Attack anybody's synthetic table, and say how good it is. Exit 6 when it breaks its own claim.",
    ),
    "release": Verb(
        "dossier",
        "Write the bundle of audited rows, if the policy gate lets it through. Spends nothing. Or take one back.",
    ),
    "verify": Verb(
        "dossier",
        "Check a release offline: every file, the signature, the promise from its events, the rows, every page.",
    ),
    "keygen": Verb("dossier", "Make a pair of keys to sign releases with (Ed25519). Never overwrites one."),
    "monitor": Verb(
        "watch",
        "Has the world moved on since a release? Free and internal, or for a charge and to be shared.",
    ),
    "run": Verb("produce", "The main job: split, fit, sample, attack, evaluate, release, verify. Spends."),
    "demo": Verb(
        "produce",
        "The main job on a bundled real table (RAND Health Insurance Experiment). Spends, on public data.",
    ),
}
"""In the order of the work."""
LEDGER_VERBS: Mapping[str, Verb] = {
    "show": Verb("account", "What was promised, what is spent, what is left, entry by entry."),
    "open": Verb(
        "account", "Open a ledger: promise an (epsilon, delta) to the people in a data set, once and for all."
    ),
    "export": Verb(
        "account",
        "All entries as JSON, without the secret key. For the owner: entries say when and what was asked.",
    ),
    "verify": Verb(
        "account",
        "Check every entry, the chain of hashes and the head file. Exit 7 when something was changed.",
    ),
    "charge": Verb(
        "account",
        "Enter what another tool released about the same people. It is not taken back: see --dry-run first.",
    ),
}

app = group(
    VERBS,
    name="dpsynth",
    help="Differentially private synthetic tables: one budget, one ledger, attacks on every release.",
    pretty_exceptions_enable=False,
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


ledger = group(LEDGER_VERBS, help="Who spent what on which people, and what is left.")
app.add_typer(ledger, name="ledger")
