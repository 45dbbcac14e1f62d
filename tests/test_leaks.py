"""Ways in which a figure of private rows, or a promise that was not kept, could reach a release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from example import SECRET, small_table

import dpsynth
from dpsynth import AuditError, Budget, BudgetError, Ledger, Schema, release
from dpsynth.auditing import Audit, Private, findings_digest, held_out, require_releasable
from dpsynth.encoding import Encoding
from dpsynth.model import FittedModel
from dpsynth.privacy.intake import take_in
from dpsynth.privacy.ledger import Unit
from dpsynth.release.fields import AuditFacts
from dpsynth.synthesis import fit_reserved, plan, unit_keys, unit_of
from dpsynth.table import read_table
from dpsynth.table.fingerprint import digest
from dpsynth.unfinished import write_private

PROMISE = Budget(4.0, 1e-6)
HUMAN = release.ReleaseFields(
    "testing", "nobody", "made-up rows", "the tests", ("any",),
    approver="the tests", review_date="2031-01-31", bounds_decided_by="the tests",
)  # fmt: skip
SUITE: dict[str, Any] = {
    "verdict": "NO EVIDENCE FROM THESE ATTACKS",
    "headline": "None.",
    "attacks": [{"attack": name, "knows": "the rows"} for name in ("exact row", "exact cells")],
}


@pytest.fixture
def schema(project: Path) -> Schema:
    return Schema.load(project)


@pytest.fixture
def ledger(tmp_path: Path, schema: Schema) -> Ledger:
    return Ledger.open(tmp_path / "own.ledger", dataset="claims", promise=PROMISE, unit=unit_of(schema))


# --- the promise is about the unit that was bounded ---------------------------------------------------


def test_rows_are_not_charged_to_an_account_of_people(tmp_path: Path) -> None:
    """Row noise under a receipt that promises to protect people would be a lie."""
    columns = {"age": {"type": "integer", "min": 0, "max": 99, "cells": 10}}
    by_row = Schema(columns=columns)
    with Ledger.open(
        tmp_path / "people.ledger", dataset="claims", promise=PROMISE, unit=Unit("person", "person")
    ) as people:
        for call in (
            lambda: dpsynth.fit(
                small_table()[["age"]], by_row, method="independent", epsilon=1.0, ledger=people
            ),
            lambda: dpsynth.run_release(
                small_table(3000)[["age"]], by_row, method="independent", epsilon=1.0, ledger=people,
                out=tmp_path / "out", settings=dpsynth.pipeline.Settings(human=HUMAN),
            ),
        ):  # fmt: skip
            with pytest.raises(BudgetError, match="counts one"):
                call()
        assert [entry.kind for entry in people.entries] == ["open"]


def test_the_receipt_states_the_bound_that_was_enforced(tmp_path: Path, schema: Schema) -> None:
    """A ledger opened for another bound: the run's own is stated, and its noise is for it."""
    loose = Unit("person", "person", 5)
    with Ledger.open(tmp_path / "loose.ledger", dataset="claims", promise=PROMISE, unit=loose) as account:
        model = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=account)
    assert model.receipt.unit == unit_of(schema) == Unit("person", "person", 2)


def test_a_reservation_for_another_unit_makes_no_model(tmp_path: Path, schema: Schema) -> None:
    loose = Unit("person", "person", 5)
    preview = plan(schema, method="independent", epsilon=1.0, delta=1e-6)
    table = read_table(small_table(), schema)
    with Ledger.open(tmp_path / "loose.ledger", dataset="claims", promise=PROMISE, unit=loose) as account:
        run = account.reserve("careless", preview.charges, preview.budget)
        with pytest.raises(ValueError, match="unit"), run:
            fit_reserved(table, preview, run, holdout=0.0)


# --- a model is released by the ledger that paid for it, and as it was paid for ------------------------


def audited(ledger: Ledger, model: FittedModel) -> tuple[Any, Audit]:
    rows = model.sample_table(50, np.random.default_rng(1))
    found = Audit(model.id, digest(rows).hex(), SUITE, {})
    ledger.record_audit(model.id, found.verdict, 1, [found.rows_sha256])
    return rows, found


def test_a_paid_model_is_releasable(schema: Schema, ledger: Ledger, tmp_path: Path) -> None:
    dpsynth.fit(small_table(), schema, method="independent", epsilon=0.5, ledger=ledger)
    model = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=ledger)
    dpsynth.fit(small_table(), schema, method="independent", epsilon=0.5, ledger=ledger)
    model.save(tmp_path / "model")
    again = dpsynth.load(tmp_path / "model")
    assert require_releasable(ledger, again, *audited(ledger, again)) == 1


def test_findings_that_were_changed_after_the_audit_are_refused(
    schema: Schema, ledger: Ledger, tmp_path: Path
) -> None:
    model = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=ledger)
    rows = model.sample_table(50, np.random.default_rng(1))
    found = Audit(model.id, digest(rows).hex(), SUITE, {})
    hashed = findings_digest(found.suite)
    ledger.record_audit(model.id, found.verdict, 1, [found.rows_sha256], hashed)
    saved = Audit(model.id, found.rows_sha256, json.loads(json.dumps(SUITE)), {})
    assert require_releasable(ledger, model, rows, saved) == 1
    milder = Audit(model.id, found.rows_sha256, {**SUITE, "epsilon_at_least": 0.0}, {})
    with pytest.raises(AuditError, match="knows no such audit") as refused:
        require_releasable(ledger, model, rows, milder)
    assert refused.value.code == "DPS-A322"


def forged(folder: Path, how: Callable[[dict[str, Any]], object]) -> FittedModel:
    """A saved model with changed facts and hashes made right again."""
    from dpsynth.model.files import FACTS, INDEX, content_id, read_model

    stored = read_model(folder)
    facts = json.loads(json.dumps(dict(stored.facts)))
    how(facts["receipt"])
    changed = type(stored)(facts, stored.schema, stored.arrays)
    content = json.dumps(facts, sort_keys=True, indent=1).encode()
    (folder / FACTS).write_bytes(content)
    index = json.loads((folder / INDEX).read_text())
    index["files"][FACTS] = hashlib.sha256(content).hexdigest()
    index["id"] = content_id(changed)
    (folder / INDEX).write_text(json.dumps(index))
    return dpsynth.load(folder)


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "run": lambda r: r.update(run_id="0" * 16),
    "head": lambda r: r.update(ledger_head="0" * 64),
    "sensitivity": lambda r: [p.update(sensitivity=1) for p in r["charges"][0]["event"]["events"]],
    "budget": lambda r: r["budget"].update(epsilon=0.1),
    "epsilon": lambda r: r["certificate"].update(epsilon=0.1),
    "unit": lambda r: r["unit"].update(rows_per_unit=50),
    "spent before": lambda r: r["spent_before"].update(mu=0.0, epsilon=0.0),
    "promise": lambda r: r["promise"].update(epsilon=1.0),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_altered_receipt_is_refused(lie: str, schema: Schema, ledger: Ledger, tmp_path: Path) -> None:
    dpsynth.fit(small_table(), schema, method="independent", epsilon=0.5, ledger=ledger)
    model = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=ledger)
    model.save(tmp_path / "model")
    liar = forged(tmp_path / "model", LIES[lie])
    with pytest.raises(AuditError, match="did not pay") as refused:
        require_releasable(ledger, liar, *audited(ledger, liar))
    assert refused.value.code == "DPS-A324"


def test_a_model_paid_for_elsewhere_is_refused(schema: Schema, ledger: Ledger, tmp_path: Path) -> None:
    """In memory, made to look releasable; and under another ledger on disk."""
    dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, delta=1e-6).save(tmp_path / "free")
    free = forged(
        tmp_path / "free", lambda r: r.update(releasable=True, promise={"epsilon": 4.0, "delta": 1e-6})
    )
    assert free.releasable
    with Ledger.open(tmp_path / "b.ledger", dataset="b", promise=PROMISE, unit=unit_of(schema)) as second:
        other = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=second)
    for model in (free, other):
        with pytest.raises(AuditError, match="did not pay"):
            require_releasable(ledger, model, *audited(ledger, model))


def test_seeded_noise_cannot_be_talked_away(schema: Schema, ledger: Ledger, tmp_path: Path) -> None:
    preview = plan(schema, method="independent", epsilon=1.0, ledger=ledger)
    table = read_table(small_table(), schema)
    with ledger.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
        model, _ = fit_reserved(table, preview, run, holdout=0.0)
        run.taint()
    model.save(tmp_path / "model")
    assert model.releasable  # its receipt was written before the taint: the ledger knows better
    with pytest.raises(AuditError, match="did not pay"):
        require_releasable(ledger, model, *audited(ledger, model))


def test_a_failed_run_releases_nothing(schema: Schema, ledger: Ledger) -> None:
    preview = plan(schema, method="independent", epsilon=1.0, ledger=ledger)
    table = read_table(small_table(), schema)
    run = ledger.reserve("fit", preview.charges, preview.budget, unit=preview.unit)
    model, _ = fit_reserved(table, preview, run, holdout=0.0)
    run.__exit__(RuntimeError, RuntimeError(), None)
    assert run.outcome == "failed"
    with pytest.raises(AuditError, match="did not pay"):
        require_releasable(ledger, model, *audited(ledger, model))


# --- who was held out ------------------------------------------------------------------------------


def own_units(schema: Schema) -> Schema:
    return schema.model_copy(update={"unit": schema.unit.model_copy(update={"missing": "own"})})


@pytest.mark.parametrize("nameless", [False, True])
def test_the_split_comes_back(nameless: bool, schema: Schema) -> None:
    frame = small_table()
    if nameless:
        frame.loc[frame.index % 3 == 0, "person"] = None
    table = read_table(frame, own_units(schema))
    intake = take_in(Encoding(schema).encode(table), unit_keys(table), rows_per_unit=1, holdout=0.3)
    note = json.loads(json.dumps(held_out(table, intake, 0.3)))
    again = Private.split_again(table, note)
    kept = Private.of(table, intake)
    for part, whole in ((kept.training, again.training), (kept.holdout, again.holdout)):
        pd.testing.assert_frame_equal(part.to_frame(), whole.to_frame())
    assert len(again.training) + len(again.holdout) + len(note["cut"]) == len(table)
    assert note["cut"]
    if nameless:
        held = again.holdout.units
        assert held is not None
        assert "None" not in note["units"]
        assert abs(len(note["rows"]) - 0.3 * frame["person"].isna().sum()) < 60


def test_a_split_of_another_table_is_refused(schema: Schema) -> None:
    table = read_table(small_table(), schema)
    intake = take_in(Encoding(schema).encode(table), unit_keys(table), rows_per_unit=2, holdout=0.3)
    note = held_out(table, intake, 0.3)
    with pytest.raises(dpsynth.UsageError, match="above the unit's bound"):
        Private.split_again(table, {name: value for name, value in note.items() if name != "cut"})
    strangers = small_table()
    strangers["person"] = [f"x{i}" for i in range(len(strangers))]
    for other in (small_table(300), strangers):
        with pytest.raises(dpsynth.UsageError, match="another table"):
            Private.split_again(read_table(other, schema), note)


# --- the layout of a release says nothing about the rows ------------------------------------------------


def odd_tables() -> dict[str, pd.DataFrame]:
    """Neighbours of one table: without what makes a single person special, and with it."""
    plain = small_table(300)
    plain = plain[plain["plan"] != ""].reset_index(drop=True)
    plain = plain[plain["plan"] != "C"].reset_index(drop=True)
    plain["age"], plain["cost"] = plain["age"].clip(20, 60), plain["cost"].round(0).clip(1, 500)
    news: dict[str, dict[str, Any]] = {
        "new category": {"plan": "C"},
        "first missing": {"plan": ""},
        "extreme": {"age": 99, "cost": 1000.0},
        "first fraction": {"cost": 17.43},
        "many rows": {},
    }
    tables = {"plain": plain}
    for name, change in news.items():
        row = {**plain.iloc[0].to_dict(), "person": "newcomer", **change}
        tables[name] = pd.concat([plain, pd.DataFrame([row] * (50 if name == "many rows" else 1))])
    return tables


def layout(model: FittedModel, folder: Path, form: str) -> dict[str, Any]:
    """Everything about a bundle but numbers: files, schemas, keys, domain."""
    rows = model.sample_table(40, np.random.default_rng(2))
    bundle = release.write(
        folder, model=model, synthetic=rows, suite=SUITE_OF_FIT, evaluation=EVALUATION, human=HUMAN, form=form
    )
    public = bundle.public
    report = json.loads((public / "report.json").read_text())
    data = public / f"data.{form}"
    kinds = [str(pq.read_schema(data)), pq.read_metadata(data).num_row_groups] if form == "parquet" else []
    frame = rows.to_frame()
    return {
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*")),
        "schema": (public / "schema.yaml").read_bytes(),
        "columns": list(frame.columns),
        "types": [str(t) for t in frame.dtypes],
        "parquet": kinds,
        "domain": model.domain,
        "cliques": [m.clique for m in model.measurements],
        "arrays": {name: a.shape for name, a in model.generator.state()[1].items()},
        "keys": sorted(keys(report)),
        "unprotected": report["unprotected_quantities"],
        "audits": report["audits"],
    }


def keys(value: Any, place: str = "") -> set[str]:
    if isinstance(value, dict):
        return {k for name, inner in value.items() for k in keys(inner, f"{place}.{name}")}
    return {k for inner in value for k in keys(inner, f"{place}[]")} if isinstance(value, list) else {place}


SUITE_OF_FIT: dict[str, Any] = {
    **SUITE, "claim": None, "unit": "person", "epsilon_at_least": None, "members": 1, "controls_held_out": 1,
    "worst_attack": None, "bound": None, "split_is_random": True, "smallest_copied_share_seen": None,
    "controls": [], "warnings": [],
    "attacks": [
        {**a, "group": "everyone", "members": 1, "controls": 1, "p_value": 0.5, "adjusted_p_value": 0.5,
         "auc": {"value": 0.5, "low": 0.4, "high": 0.6, "confidence": 0.95}, "auc_claim_allows_at_most": 0.9,
         "tpr_at_fpr": [], "epsilon_bound": None} for a in SUITE["attacks"]
    ],
}  # fmt: skip
EVALUATION: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _internal_evaluation() -> None:
    """The internal page wants some evaluation: one of two small made-up tables will do."""
    columns = {"a": {"type": "boolean"}, "b": {"type": "boolean"}}
    made = Schema(columns=columns)
    rng = np.random.default_rng(0)
    tables = [read_table(pd.DataFrame({c: rng.random(200) < 0.5 for c in columns}), made) for _ in range(3)]
    EVALUATION.update(dpsynth.evaluation.evaluate(*tables, made, target=(), rng=rng).as_json())


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_layout_does_not_depend_on_the_rows(form: str, schema: Schema, tmp_path: Path) -> None:
    found = {}
    for name, frame in odd_tables().items():
        path = tmp_path / f"{name}.ledger"
        with Ledger.open(path, dataset="claims", promise=PROMISE, unit=unit_of(schema)) as account:
            model = dpsynth.fit(frame, schema, method="independent", epsilon=1.0, ledger=account)
        found[name] = layout(model, tmp_path / f"{name}-{form}", form)
    for name, one in found.items():
        assert one == found["plain"], name


def test_which_attacks_are_named_does_not_depend_on_the_rows() -> None:
    """'exact row' runs when some real value is finer than its cell: that is a fact about real rows."""
    with_it = AuditFacts.of(SUITE, 1)
    without = AuditFacts.of({**SUITE, "attacks": SUITE["attacks"][1:]}, 1)
    assert with_it == without
    assert [attack.name for attack in with_it.attacks] == ["exact cells"]


def test_a_model_folder_holds_no_id_and_no_value(schema: Schema, tmp_path: Path) -> None:
    frame = small_table()
    frame.loc[7, "cost"] = 613.37
    dpsynth.fit(frame, schema, method="mst", epsilon=1.0, delta=1e-6).save(tmp_path / "model")
    with np.load(tmp_path / "model" / "arrays.npz") as arrays:
        assert all(a.dtype in (np.int64, np.float64) for a in arrays.values())
    for path in (tmp_path / "model").iterdir():
        content = path.read_bytes()
        assert SECRET.encode() not in content
        assert b"613.37" not in content


# --- tiny tables: a valid model, whatever the noise ------------------------------------------------------


@pytest.mark.parametrize("method", ["independent", "mst"])
@pytest.mark.parametrize("rows", [1, 2])
def test_tiny_tables_give_a_model(method: str, rows: int, schema: Schema) -> None:
    """A run that fails for some noise and not for other tells about the rows."""
    for _ in range(2):
        model = dpsynth.fit(small_table().head(rows), schema, method=method, epsilon=0.05, delta=1e-6)
        assert model.generator.total >= 1
        assert len(model.sample(30)) == 30
        assert model.default_rows() >= 1


@pytest.mark.parametrize("method", ["independent", "mst"])
def test_a_table_that_is_held_out_whole_gives_a_model(method: str, schema: Schema) -> None:
    preview = plan(schema, method=method, epsilon=0.1, delta=1e-6)
    table = read_table(small_table(2), schema)
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("fit", preview.charges, preview.budget) as run:
        model, intake = fit_reserved(table, preview, run, holdout=1 - 1e-12)
    assert len(intake.training) == 0
    assert len(model.sample(10)) == 10


def test_an_intake_seeded_by_hand_cannot_hide_it(schema: Schema, ledger: Ledger) -> None:
    """Two fits on one reservation: the second is refused before it counts."""
    preview = plan(schema, method="independent", epsilon=1.0, ledger=ledger)
    table = read_table(small_table(), schema)
    with ledger.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
        fit_reserved(table, preview, run, holdout=0.0)
        with pytest.raises(BudgetError, match="not planned"):
            fit_reserved(table, preview, run, holdout=0.0)


# --- errors travel in logs ---------------------------------------------------------------------------------


def test_a_refusal_quotes_no_finding(schema: Schema, ledger: Ledger) -> None:
    """How many people there are and what an attack proved was computed from their rows."""
    model = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=ledger)
    rows, found = audited(ledger, model)
    told = Audit(model.id, found.rows_sha256, {**SUITE, "headline": "It proves 3.17 for 8,117 people."}, {})
    ledger.block(model.id, "the attacks found more than the promise allows (VIOLATION)")
    with pytest.raises(AuditError) as refused:
        require_releasable(ledger, model, rows, told)
    assert refused.value.code == "DPS-A320"
    assert "3.17" not in str(refused.value)
    assert "8,117" not in str(refused.value)


def test_findings_of_a_violation_stay_in_the_private_folder(
    schema: Schema, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpsynth import pipeline

    def violated(model: FittedModel, synthetic: Any, private: Private, **rest: Any) -> Any:
        audit = Audit(model.id, digest(synthetic).hex(), {**SUITE, "verdict": "VIOLATION"}, {})
        rest["ledger"].record_audit(model.id, audit.verdict, 1, [audit.rows_sha256])
        return audit, None, None

    monkeypatch.setattr(pipeline, "audit_rows", violated)
    with pytest.raises(AuditError, match="blocked for good"):
        dpsynth.run_release(
            small_table(), schema, method="independent", epsilon=1.0, ledger=ledger, out=tmp_path / "out",
            settings=pipeline.Settings(human=HUMAN, holdout=0.3),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
    note = tmp_path / "out.unfinished" / "audit.json"
    assert json.loads(note.read_text())["attacks"]["verdict"] == "VIOLATION"
    assert note.stat().st_mode & 0o077 == 0


def test_rows_that_nobody_names_are_listed_as_unprotected(schema: Schema) -> None:
    facts = AuditFacts(1, ())
    named = release.privacy_json.unprotected(schema, "person", facts)
    nameless = release.privacy_json.unprotected(own_units(schema), "person", facts)
    [more] = [one for one in nameless if one not in named]
    assert more["quantity"] == "several rows of one person without 'person'"


def test_a_private_file_takes_away_what_others_could_do_with_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "model.holdout.json"
    path.write_text("{}")
    path.chmod(0o644)
    write_private(path, {"run_key": "00"})
    assert path.stat().st_mode & 0o077 == 0
