"""A public table as a beginning: where it helps, that a wrong one changes no charge, and that everybody is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example import small_table
from typer.testing import CliRunner

from dpsynth import DataError, Schema, SchemaError, fit
from dpsynth.cli.app import app
from dpsynth.constraints_declared import Constraint
from dpsynth.counting import count
from dpsynth.encoding import Encoding
from dpsynth.model import FittedModel
from dpsynth.model.prior_note import PriorNote
from dpsynth.pgm.zeros import Estimation
from dpsynth.prior import FromPrior, Prior, Structure
from dpsynth.privacy.ledger import Ledger
from dpsynth.project import Project
from dpsynth.records import Records
from dpsynth.synthesis import task_of
from dpsynth.table import read_table
from dpsynth.workload import Workload

SIZES = {"a": 4, "b": 4, "c": 5, "d": 3, "e": 6}
SCHEMA = Schema(
    columns={n: {"type": "category", "values": [f"{n}{i}" for i in range(s)]} for n, s in SIZES.items()}
)


def people(rows: int, seed: int) -> pd.DataFrame:
    """Each column follows the one before, but for one row in four."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 4, rows)]
    for size in list(SIZES.values())[1:]:
        codes.append(np.where(rng.random(rows) < 0.25, rng.integers(0, size, rows), codes[-1] % size))
    return pd.DataFrame({n: [f"{n}{i}" for i in c] for n, c in zip(SIZES, codes, strict=True)})


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """The same columns, which no longer hang together."""
    return pd.DataFrame({n: frame[n].sample(frac=1, random_state=i).to_numpy() for i, n in enumerate(frame)})


def reversed_values(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns that hang together in another way."""
    return frame.assign(
        **{n: [f"{n}{SIZES[n] - 1 - int(text[1:])}" for text in frame[n]] for n in list(SIZES)[1::2]}
    )


PRIVATE = people(1500, 1)


def prior_of(frame: pd.DataFrame) -> Prior:
    return Prior.read(frame, SCHEMA, "last year's table, published")


def fitted(method: str, epsilon: float, prior: Prior | None) -> FittedModel:
    return fit(PRIVATE, SCHEMA, method=method, epsilon=epsilon, delta=1e-9, prior=prior)


def error(model: FittedModel) -> float:
    """Mean total variation of all pairs."""
    records = Encoding(SCHEMA).encode(read_table(PRIVATE, SCHEMA))
    found = []
    for pair in itertools.combinations(SIZES, 2):
        exact = count(records, pair) / len(records)
        table = model.generator.marginal(pair)
        found.append(np.abs(exact - table / table.sum()).sum() / 2)
    return float(np.mean(found))


@pytest.mark.parametrize("method", ["independent", "mst", "tree", "privbayes", "aim"])
def test_the_charges_do_not_know_the_public_table(method: str) -> None:
    plain = fitted(method, 1.0, None).receipt
    for frame in (people(1500, 2), shuffled(people(300, 3))):
        receipt = fitted(method, 1.0, prior_of(frame)).receipt
        assert receipt.charges == plain.charges
        assert receipt.certificate == plain.certificate


def test_a_right_one_helps_where_the_budget_is_small() -> None:
    public = prior_of(people(1500, 2))
    assert error(fitted("independent", 0.5, public)) < 0.6 * error(fitted("independent", 0.5, None))
    tree = [error(fitted("tree", 0.1, public)) for _ in range(3)]
    plain = [error(fitted("tree", 0.1, None)) for _ in range(3)]
    assert np.mean(tree) < np.mean(plain)


def test_a_wrong_one_is_overruled_by_what_is_measured() -> None:
    for wrong in (shuffled(people(1500, 2)), reversed_values(people(1500, 2))):
        assert error(fitted("tree", 20.0, prior_of(wrong))) < 0.05


def test_what_hangs_together_is_found_in_the_public_table() -> None:
    task = task_of(SCHEMA, Workload(), 5e6)

    def structure(frame: pd.DataFrame) -> Structure:
        return Structure(task, Encoding(SCHEMA).encode(read_table(frame, SCHEMA)))

    found = structure(people(3000, 2)).cliques
    assert {("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")} <= {
        pair for clique in found for pair in itertools.combinations(clique, 2)
    }
    assert len(structure(shuffled(people(3000, 2))).cliques) < 5


def test_one_that_is_clearly_wrong_is_not_used() -> None:
    task = task_of(SCHEMA, Workload(), 5e6)
    encoding = Encoding(SCHEMA)
    model = fitted("mst", 20.0, None)

    def helps(frame: pd.DataFrame) -> bool:
        records: Records = encoding.encode(read_table(frame, SCHEMA))
        begin = FromPrior(Structure(task, records), Estimation())
        return begin._helps(task.domain, model.measurements, {})

    assert helps(people(3000, 4))
    assert not helps(reversed_values(people(3000, 4)))


def test_the_private_table_is_no_public_one(tmp_path: Path) -> None:
    wide = small_table(people=400).drop(columns="person")
    schema = Schema(
        columns={
            "age": {"type": "integer", "min": 0, "max": 99},
            "plan": {"type": "category", "values": ["A", "B", "C"], "missing": True},
            "smoker": {"type": "boolean", "true_value": "yes", "false_value": "no"},
            "cost": {"type": "number", "min": 0, "max": 1000, "decimals": 2},
        }
    )
    wide.to_csv(tmp_path / "private.csv", index=False)
    private = read_table(tmp_path / "private.csv", schema)
    shuffled_rows = wide.sample(frac=1.0, random_state=1)
    more = pd.concat([shuffled_rows, small_table(people=100, seed=9).drop(columns="person")])
    for copy in (tmp_path / "private.csv", shuffled_rows, more, wide.iloc[: int(0.7 * len(wide))]):
        with pytest.raises(DataError) as caught:
            Prior.read(copy, schema, "it is public").require_other(private, tmp_path / "private.csv")
        assert caught.value.code == "DPS-D161"
    other = small_table(people=400, seed=8).drop(columns="person")
    Prior.read(other, schema, "it is public").require_other(private, tmp_path / "private.csv")
    with pytest.raises(DataError) as caught:
        Prior.read(other, schema, "  ")
    assert caught.value.code == "DPS-D162"


def test_the_model_remembers_it(tmp_path: Path) -> None:
    model = fitted("independent", 1.0, prior_of(people(300, 5)))
    assert model.prior is not None
    assert (model.prior.rows, model.prior.reason) == (300, "last year's table, published")
    model.save(tmp_path / "model")
    assert FittedModel.load(tmp_path / "model").prior == model.prior
    assert replace(model, prior=None).id != model.id
    with pytest.raises(ValueError, match="reason"):
        PriorNote("x", 3, "0" * 64, " ")


def test_a_project_names_it_with_a_reason(rewrite: Callable[[str, str], Path]) -> None:
    path = rewrite(
        "generator: {method: mst,", "generator: {method: mst, prior: {path: old.csv, reason: '...'},"
    )
    with pytest.raises(SchemaError) as caught:
        Project.load(path)
    assert caught.value.code == "DPS-S145"


def test_a_run_from_the_private_table_itself_is_refused_before_it_spends(
    rewrite: Callable[[str, str], Path],
) -> None:
    old = "generator: {method: mst,"
    path = rewrite(old, f"{old} prior: {{path: old.csv, reason: 'published in 2019'}},")
    folder = path.parent
    (folder / "old.csv").write_text((folder / "claims.csv").read_text())
    done = CliRunner().invoke(app, ["run", str(path), "-o", str(folder / "release")])
    assert done.exit_code == 4
    assert "DPS-D161" in done.output
    with Ledger.load(folder / "claims.ledger") as account:
        assert not any(entry.kind == "reserve" for entry in account.entries)


def test_a_learnt_map_is_exact_also_beside_a_public_table() -> None:
    """Combinations that the learnt map excludes have no chance, as without a public table."""
    told = PRIVATE.assign(b=["b" + text[1:] for text in PRIVATE["a"]])
    schema = SCHEMA.with_constraints(
        [Constraint.model_validate({"functional": {"b": "a"}, "one_to_one": True})]
    )
    other = people(1500, 2)
    public = Prior.read(other.assign(b=["b" + text[1:] for text in other["a"]]), schema, "published")
    for prior in (public, None):
        model = fit(told, schema, method="tree", epsilon=8.0, delta=1e-6, prior=prior)
        pair = model.generator.marginal(("a", "b"))
        assert pair[~np.eye(4, dtype=bool)].sum() == 0.0
