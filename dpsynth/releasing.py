"""Around a release: the files that decide and sign it, figures bought for the public, and taking a release back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dpsynth import release
from dpsynth.budget import Budget
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.model import FittedModel
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.figures import Purchase, buy
from dpsynth.privacy.ledger import Ledger, ReleaseRecord, Run
from dpsynth.project import Project
from dpsynth.release import archive, manifest
from dpsynth.schema import Schema
from dpsynth.synthesis import unit_of
from dpsynth.table import Table

SHORTEST_ID = 12


def terms_of(
    project: Project,
    key: Path | None = None,
    policy: Path | None = None,
    passphrase: Callable[[], bytes | None] = lambda: None,
) -> dict[str, Any]:
    """`policy` and `signer` of a release, from these files or from those that the project names; None without one.

    Read before anything is spent: a wrong passphrase costs nothing. Raises SchemaError or UsageError.
    """
    key, policy = key or project.key_path, policy or project.policy_path
    return {
        "policy": None if policy is None else release.Policy.load(policy),
        "signer": None if key is None else release.load_signer(key, passphrase),
    }


def purchase(schema: Schema, epsilon: float, delta: float) -> Purchase:
    """Figures for `epsilon` by themselves; the run that buys them plans their charge within its own budget."""
    return Purchase.planned(schema.domain, Budget(epsilon, delta), unit_of(schema).rows_per_unit)


def bought(curator: Curator, wanted: Purchase, model: FittedModel, synthetic: Table) -> list[dict[str, Any]]:
    """The figures about these synthetic rows, charged and measured now."""
    records = Encoding(model.schema).encode(synthetic)
    domain, rows = model.domain, max(1, len(records))
    shares = {
        column: np.bincount(records[column].astype(np.int64), minlength=domain[column]) / rows
        for column in wanted.columns
    }
    return buy(curator, wanted, shares, model.generator.total)


@contextmanager
def still_paid(run: Run) -> Iterator[None]:
    """A run whose model is on disk is ended, not failed, when something fails inside: the model stays one that was paid for,
    and may be released; charges that were not made stay spent."""
    try:
        yield
    except BaseException:
        run.commit()
        raise


def withdraw(ledger: Ledger, which: str, why: str) -> ReleaseRecord:
    """Enter in the ledger that a bundle is taken back; what it showed stays spent. The files are left alone.

    `which`: its folder, a copy of its public/, a zip file, or its id (12 digits or more). Raises UsageError (U183, U184) for
    a bundle that the ledger does not know or that was withdrawn before.
    """
    wanted = _bundle_id(which)
    known = {one.bundle_id: one for one in ledger.releases() if one.bundle_id.startswith(wanted)}
    if len(known) != 1:
        raise UsageError(
            "U183",
            "the ledger knows no such release" if not known else "several releases begin like this",
            "name the folder of the release, or its whole id as dpsynth ledger show says it",
        )
    [found] = known.values()
    if found.withdrawn is not None:
        raise UsageError("U184", "this release was withdrawn before", "nothing needs to be done")
    ledger.record_withdrawal(found.bundle_id, why)
    return next(one for one in ledger.releases() if one.bundle_id == found.bundle_id)


def _bundle_id(which: str) -> str:
    path = Path(which)
    if not path.exists():
        if re.fullmatch(rf"[0-9a-f]{{{SHORTEST_ID},64}}", which):
            return which
        raise UsageError(
            "U185",
            f"{which} is neither a release nor the id of one",
            "name its folder, or its id from the ledger",
        )
    with archive.folder_of(path) as folder:
        public = folder / "public"
        return manifest.load(public if public.is_dir() else folder).bundle_id
