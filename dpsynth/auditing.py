"""Synthetic rows against the real ones: attacks and evaluation, entered in the ledger. All of it internal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import attacks
from attacks.drawing import drawings
from dpsynth import evaluation
from dpsynth.constraints.sequences import broken_rows
from dpsynth.constraints.totals import Totals
from dpsynth.errors import AuditError, UsageError
from dpsynth.model import FittedModel
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_recall import recalled
from dpsynth.progress import Progress, silent
from dpsynth.release import recheck
from dpsynth.schema import Schema
from dpsynth.table import Table
from dpsynth.table.fingerprint import digest

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Private:
    """The real rows that synthetic ones are compared with, by unit. Nothing computed from them is released."""

    training: Table
    holdout: Table
    sampled: bool = False
    """Whether these are all rows, or those of some units, chosen by secret coins."""

    @property
    def caution(self) -> tuple[str, ...]:
        """What a reader of attacks and evaluation must know about the rows they looked at."""
        if not self.sampled:
            return ()
        entity = self.training.schema.unit.entity
        members, others = _units(self.training), _units(self.holdout)
        return (
            f"attacks and evaluation looked at a sample: all rows of {members:,} {entity}s of the training part and of "
            f"{others:,} held-out {entity}s, drawn by secret coins; of every other {entity} they say nothing",
        )

    @classmethod
    def of(cls, table: Table, intake: Intake) -> Private:
        """As a fit has split them."""
        return cls(table.take(intake.training), table.take(intake.holdout))

    def under(self, schema: Schema) -> Private:
        """The same rows under the schema of a model that discovered what theirs leaves open."""
        return Private(self.training.under(schema), self.holdout.under(schema), self.sampled)

    @classmethod
    def split_again(cls, table: Table, held_out: Mapping[str, Any]) -> Private:
        """As `held_out` remembers an earlier fit's split: the very rows that the fit's own audit compared with.

        Raises UsageError when it does not describe this table.
        """
        if held_out.get("table_sha256") != digest(table).hex():
            raise UsageError(
                "U117", "the hold-out file belongs to another table", "give the one written by the fit"
            )
        if "cut" not in held_out:
            raise UsageError(
                "U119",
                "the hold-out file does not say which rows were above the unit's bound",
                "it is of an earlier version: fit again, or attack with --train and --holdout",
            )
        kept = np.ones(len(table), dtype=bool)
        kept[np.array(held_out["cut"], dtype=np.int64) - 1] = False
        mask = np.zeros(len(table), dtype=bool)
        mask[np.array(held_out["rows"], dtype=np.int64) - 1] = True
        if table.units is not None and table.unit_labels is not None:
            names = set(held_out["units"])
            of_unit = np.array([label in names for label in table.unit_labels], dtype=bool)
            mask |= of_unit[table.units]
        return cls(table.take(kept & ~mask), table.take(kept & mask))


def _units(table: Table) -> int:
    return len(table) if table.units is None else len(np.unique(table.units))


def require_enough(table: Table, holdout: float) -> None:
    """Refuse, before anything is spent, a table so small that no attack could run: AuditError A323."""
    units = _units(table)
    if units * min(holdout, (1 - holdout) / 2) < 2 * attacks.FEWEST:
        raise AuditError(
            "A323",
            f"so few {table.schema.unit.entity}s are in the table that attacks on the release would mean nothing",
            f"raise audit: {{holdout: ...}} until about {2 * attacks.FEWEST} are held out, or use dpsynth fit without "
            "a release",
        )


def held_out(table: Table, intake: Intake, probability: float) -> dict[str, Any]:
    """Who was held out, so that an audit can be made later. Private.

    `units`: ids; `rows`: numbers from 1 of the rows that no id names; `cut`: of the rows above the unit's bound,
    which nobody looked at; `probability`: of each unit's coin; `table_sha256`: which table it was.
    """
    cut = np.setdiff1d(np.arange(len(table)), np.concatenate([intake.training, intake.holdout]))
    about = {
        "probability": probability,
        "table_sha256": digest(table).hex(),
        "cut": (cut + 1).tolist(),
    }
    if table.units is None or table.unit_labels is None:
        return {"units": [], "rows": (intake.holdout + 1).tolist(), **about}
    labels = table.unit_labels[table.units[intake.holdout]]
    nameless = np.array([label is None for label in labels], dtype=bool)
    return {
        "units": sorted(set(labels[~nameless].tolist())),
        "rows": (intake.holdout[nameless] + 1).tolist(),
        **about,
    }


@dataclass(frozen=True, eq=False)
class Audit:
    """What attacks and evaluation found about one table of synthetic rows of one model. Internal."""

    model_id: str
    rows_sha256: str
    suite: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        return str(self.suite["verdict"])

    @property
    def headline(self) -> str:
        return str(self.suite["headline"])

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "model": self.model_id,
            "rows_sha256": self.rows_sha256,
            "attacks": self.suite,
            "evaluation": self.evaluation,
        }

    @classmethod
    def load(cls, path: Path) -> Audit:
        """An audit that was saved as JSON; UsageError when the file is none."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError
            audit = cls(found["model"], found["rows_sha256"], found["attacks"], found["evaluation"])
            _ = audit.verdict, audit.headline
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                "U118", f"{path} is no audit", "make one with dpsynth audit --model ... -o FILE"
            ) from None
        return audit


def findings_digest(suite: Mapping[str, Any]) -> str:
    """SHA-256 of what the attacks found, as JSON, in 64 hexadecimal digits; the same before and after it was saved."""
    return hashlib.sha256(json.dumps(suite, sort_keys=True).encode()).hexdigest()


def audit_rows(
    model: FittedModel,
    synthetic: Table,
    private: Private,
    *,
    holdout: float,
    target: tuple[str, ...] = (),
    asked: attacks.Asked | None = None,
    ledger: Ledger,
    progress: Progress = silent,
) -> tuple[Audit, attacks.SuiteResult, evaluation.Evaluation]:
    """Attack and evaluate `synthetic`, rows of `model`; the ledger takes note, a violation blocks the model for good.

    `holdout`: the declared probability of each unit's coin. `asked`: the secrets, quasi-identifiers and groups that
    the owner declared.
    """
    asked = asked or attacks.Asked()
    promised = model.receipt.budget
    suite = attacks.run_suite(
        synthetic,
        private.training,
        private.holdout,
        model.schema,
        (promised.epsilon, promised.delta),
        cliques=[m.clique for m in model.measurements],
        secrets=asked.secrets,
        quasi_identifiers=asked.quasi_identifiers,
        groups=asked.groups,
        coin=holdout,
        sampled=_share(private, model),
        progress=lambda _, done: progress("attacking", done),
    )
    suite = replace(suite, warnings=(*private.caution, *suite.warnings))
    rows = digest(synthetic).hex()
    attacked = {**suite.as_json(), "drawings": drawings(suite)}
    ledger.record_audit(
        model.id, suite.verdict, samples=1, rows_sha256=[rows], findings_sha256=findings_digest(attacked)
    )
    if suite.verdict == attacks.VIOLATION:
        ledger.block(model.id, "the attacks found more than the promise allows (VIOLATION)")
    found = evaluation.evaluate(
        synthetic,
        private.training,
        private.holdout,
        model.schema,
        target=target or None,
        rng=np.random.default_rng(),
        progress=lambda _, done: progress("evaluating", done),
    )
    found = replace(found, notes=(*private.caution, *found.notes))
    return Audit(model.id, rows, attacked, found.as_json()), suite, found


def _share(private: Private, model: FittedModel) -> float:
    """Which part of the training rows the attacks look at: 1 but for a sample, else by the model's noisy total."""
    if not private.sampled:
        return 1.0
    return min(1.0, max(1, len(private.training)) / max(1.0, model.generator.total))


def require_releasable(ledger: Ledger, model: FittedModel, synthetic: Table, audit: Audit) -> int:
    """Refuse a blocked model, one that this ledger did not pay for, and rows that no audit of it has seen, or that break a
    rule.

    Returns how many samples were audited. AuditError A320 to A322, A324, A325. The other rules are the policy gate's.
    """
    why = ledger.blocked(model.id)
    if why is not None:
        raise AuditError(
            "A320",
            f"the model is blocked for good: {why}; nothing was released",
            "the audit says what was found: find the fault first; a new model needs a new fit and its charge",
        )
    _require_paid(ledger, model)
    rows = digest(synthetic).hex()
    if audit.model_id != model.id or audit.rows_sha256 != rows:
        raise AuditError("A321", "the audit is of other rows or of another model", "audit exactly these rows")
    entries = ledger.audits(model.id)
    found = (None, findings_digest(audit.suite))
    if not any(
        rows in entry.rows_sha256 and entry.verdict == audit.verdict and entry.findings_sha256 in found
        for entry in entries
    ):
        raise AuditError(
            "A322", "the ledger knows no such audit of these rows", "run dpsynth audit with this ledger"
        )
    _require_rules(synthetic, model.schema)
    return sum(entry.samples for entry in entries)


def _require_paid(ledger: Ledger, model: FittedModel) -> None:
    """What the model says of its spending is what the ledger says of that run: AuditError A324 otherwise."""
    stated = model.receipt
    known = recalled(ledger, stated.run_id, stated.ledger_head)
    wrong = ["run"] if known is None else list(recheck.differences(stated.as_json(), known.as_json()))
    if wrong:
        raise AuditError(
            "A324",
            f"this ledger did not pay for this model: its receipt's {wrong[0]} is not in the ledger",
            "name the ledger that the model was fitted under; an altered model needs a new fit",
        )


def _require_rules(synthetic: Table, schema: Schema) -> None:
    """AuditError A325 for rows whose bundle would fail its verification once the ledger says that it is out."""
    for number in sorted({*broken_rows(synthetic, schema), *Totals.of(schema).broken(synthetic)}):
        raise AuditError(
            "A325",
            f"the rows break constraint {number} ({schema.constraints[number - 1].words}); nothing was released",
            "a release keeps every declared rule: draw rows that do, without --without-rule",
        )
