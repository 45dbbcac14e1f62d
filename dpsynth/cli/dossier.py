"""Verbs around the bundle: keygen, release (and taking one back), verify."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dpsynth import pipeline, synthesis
from dpsynth import release as bundles
from dpsynth.auditing import Audit
from dpsynth.cli.common import Answer, Screen
from dpsynth.cli.keys import PolicyFile, SignKey, new_passphrase, passphrase
from dpsynth.errors import UsageError
from dpsynth.privacy.ledger import Ledger
from dpsynth.project import Project
from dpsynth.release.verification import PARTLY
from dpsynth.releasing import terms_of, withdraw
from dpsynth.table import read_table

IN_PART = 9
"""Exit code for a bundle that is intact as far as it could be compared."""


def _option(name: str, words: str, **more: Any) -> Any:
    return typer.Option(name, help=words, show_default=False, **more)


def keygen(
    screen: Screen,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="NAME", help="Writes NAME.key (private) and NAME.pub.")
    ] = Path("dpsynth"),
    ask: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase (or set DPSYNTH_KEY_PASSPHRASE).")
    ] = False,
) -> Answer:
    """Make a pair of keys to sign releases with (Ed25519). Never overwrites one."""
    private, public = out.with_name(f"{out.name}.key"), out.with_name(f"{out.name}.pub")
    secret = new_passphrase(ask)
    made = bundles.generate(private, public, secret)
    kept = "encrypted" if secret else "not encrypted: keep it where only you can read it"
    text = (
        f"private key: {private} ({kept})\n"
        f"public key:  {public}; give it to recipients by another way than the bundles\n"
        f"key id:      {made.id}"
    )
    data = {"private": str(private), "public": str(public), "id": made.id, "encrypted": bool(secret)}
    return Answer(data, text)


def release(
    screen: Screen,
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="Folder of a fitted model.", show_default=False)
    ] = None,
    synthetic: Annotated[Path | None, _option("--synthetic", "Audited rows of it.")] = None,
    audit: Annotated[Path | None, _option("--audit", "What dpsynth audit found about them.")] = None,
    project: Annotated[Path | None, _option("--project", "The project file.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="New folder for the release.", show_default=False),
    ] = None,
    ledger: Annotated[Path | None, _option("--ledger", "The ledger file, instead of the project's.")] = None,
    sign: SignKey = None,
    policy: PolicyFile = None,
    taken_back: Annotated[
        str | None,
        _option(
            "--withdraw", "Take back a release: its folder or id. Goes with --ledger or --project, and --why."
        ),
    ] = None,
    why: Annotated[str | None, _option("--why", "Why it is taken back; recipients may read it.")] = None,
) -> Answer:
    """Write the bundle of audited rows, if the policy gate lets it through. Spends nothing. Or take one back."""
    if taken_back is not None:
        if model or synthetic or audit or out or sign or policy:
            raise UsageError(
                "U177", "--withdraw writes no bundle", "give --ledger and --why with it, nothing else"
            )
        return _withdraw(taken_back, why, ledger, project)
    if model is None or synthetic is None or audit is None or project is None or out is None:
        raise UsageError(
            "U178",
            "a release needs MODEL, --synthetic, --audit, --project and --out",
            "or --withdraw, to take one back",
        )
    spec, fitted = Project.load(project), synthesis.load(model)
    rows = read_table(synthetic, fitted.schema)
    settings = replace(pipeline.settings_of(spec), **terms_of(spec, sign, policy, passphrase))
    with pipeline.open_ledger(spec, ledger) as account:
        verified = pipeline.release_rows(
            fitted, rows, Audit.load(audit), ledger=account, out=out, settings=settings
        )
    text = f"{out / 'public' / 'report.html'} (may be shared)\n{verified.words}"
    return Answer({"folder": str(out), "model": fitted.id, "verified": verified.words}, text)


def _withdraw(which: str, why: str | None, ledger: Path | None, project: Path | None) -> Answer:
    if why is None:
        raise UsageError("U179", "the reason is missing", 'say why: --why "wrong contact"')
    if ledger is not None:
        opened = Ledger.load(ledger)
    elif project is not None:
        opened = pipeline.open_ledger(Project.load(project))
    else:
        raise UsageError("U181", "no ledger is named", "give --ledger or --project")
    with opened as account:
        found = withdraw(account, which, why)
        left = account.remaining().words
    text = (
        f"withdrawn: bundle {found.bundle_id}; what it showed stays spent ({left})\n"
        f"tell its recipients: {found.withdrawn}"
    )
    return Answer({"bundle": found.bundle_id, "model": found.model_id, "why": found.withdrawn}, text)


def verify(
    screen: Screen,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A release, its public folder, or a zip file.", show_default=False
        ),
    ],
    key: Annotated[
        Path | None, _option("--key", "The publisher's public key: the bundle must be signed by it.")
    ] = None,
    ledger: Annotated[
        Path | None, _option("--ledger", "Also look for its head and release in this ledger.")
    ] = None,
) -> Answer:
    """Check a release offline: every file, the signature, the promise from its events, the rows, every page.

    Exit 9 where numbers of pages that another build of dpsynth wrote could not be compared: intact in part.
    """
    pinned = None if key is None else bundles.load_public(key)
    found = bundles.verify(folder, key=pinned, ledger=ledger)
    return Answer(found.as_json(), found.words, IN_PART if found.compared == PARTLY else 0)
