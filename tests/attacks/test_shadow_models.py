"""Shadow models find a generator that leaks and leave one alone that does not look at its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from attacked_files import CELLS, COLUMNS, SCHEMA, frame
from known_leaks import population

import attacks
from attacks import LEAK, NO_EVIDENCE, VIOLATION
from attacks.membership import shadow
from dpsynth.errors import AuditError, DataError
from dpsynth.schema import Schema
from dpsynth.table import read_table

ROWS = frame(population(300, np.random.default_rng(3), COLUMNS, CELLS))
STRANGERS = frame(population(300, np.random.default_rng(4), COLUMNS, CELLS))


def bootstrap(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return rows.iloc[rng.integers(0, len(rows), len(rows))]


def independent(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Columns of other people's rows; of its own it takes nothing."""
    return STRANGERS.apply(lambda column: column.to_numpy()[rng.integers(0, 300, 300)])


def test_a_bootstrap_is_found_and_soon() -> None:
    steps: list[tuple[str, float]] = []
    result = attacks.shadow_attack(
        bootstrap, ROWS, 5, schema=SCHEMA, rng=np.random.default_rng(0), most_fits=64,
        progress=lambda step, done: steps.append((step, done)),
    )  # fmt: skip
    assert result.verdict == LEAK, str(result)
    assert result.worst is not None
    assert result.worst.auc.value > 0.8
    assert result.worst.threat.targets == attacks.Targets.ISOLATED
    assert attacks.Holds.REFITS in result.worst.threat.holds
    assert result.fits < 64
    assert "runs with 5 targets" in result.headline
    assert steps[-1] == ("done", 1.0)
    assert [done for _, done in steps] == sorted(done for _, done in steps)
    pairs = result.scores()
    assert len(pairs) == result.members + result.controls_held_out
    assert pairs.groupby("target").size().nunique() == 1
    assert len(result.roc()) > 2
    assert str(result).startswith(LEAK)


def test_a_bootstrap_breaks_a_small_promise() -> None:
    result = attacks.shadow_attack(
        bootstrap, ROWS, 12, schema=SCHEMA, claim=(0.1, 1e-9), rng=np.random.default_rng(1), most_fits=64
    )
    assert result.verdict == VIOLATION, str(result)
    assert "proves an epsilon" in result.headline


def test_a_generator_that_does_not_look_at_its_rows_is_left_alone() -> None:
    result = attacks.shadow_attack(
        independent,
        ROWS,
        [7, 11, 200],
        schema=SCHEMA,
        claim=(0.1, 1e-9),
        rng=np.random.default_rng(2),
        most_fits=32,
    )
    assert result.verdict == NO_EVIDENCE, str(result)
    assert result.fits == 32
    assert "no proof of privacy" in result.headline
    assert result.epsilon_at_least == 0.0
    assert set(result.pairs["target"]) == {7, 11, 200}
    assert all(attack.threat.targets == attacks.Targets.NAMED for attack in result.attacks)


@pytest.mark.parametrize("leaks", [False, True])
def test_what_coins_did_not_cause_is_seldom_called(leaks: bool) -> None:
    """Games of random features; where they say who is in, every one is called."""
    rng = np.random.default_rng(8)
    table = read_table(ROWS.head(20), SCHEMA)
    called, games = 0, 8 if leaks else 60
    for _ in range(games):
        game = shadow._Game.of(table, [1, 2, 3, 4], rng)
        for _ in range(16):
            coin = rng.random(4) < 0.5
            game.coins.append(coin)
            game.summaries.append(rng.normal(size=20))
            game.answers.append(rng.normal(size=(4, 10)) + 3.0 * leaks * coin[:, None])
        called += shadow._judged(game, None, 1, rng).verdict == LEAK
    assert called == games if leaks else called <= 14  # 5 % each: above it with probability below 1e-6


def test_time_runs_out() -> None:
    result = attacks.shadow_attack(
        independent, ROWS, 2, schema=SCHEMA, rng=np.random.default_rng(5), most_fits=1024, time_budget=1e-9
    )
    assert result.fits == 16


def test_people_are_targets_with_all_their_rows() -> None:
    schema = Schema(
        columns={"who": {"type": "id"}, **SCHEMA.columns},
        unit={"entity": "person", "column": "who", "rows_per_unit": 3},
    )
    people = ROWS.assign(who=[f"p{i // 3}" for i in range(len(ROWS))])
    seen: list[set[int]] = []

    def watched(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        seen.append(set(rows["who"].value_counts()))
        return rows.drop(columns="who").sample(len(rows), replace=True, random_state=int(rng.integers(2**31)))

    result = attacks.shadow_attack(
        watched, people, 5, schema=schema, rng=np.random.default_rng(6), most_fits=32
    )
    assert result.verdict == LEAK, str(result)
    assert seen[0] == {3}


def test_nonsense_is_refused() -> None:
    for code, options in {
        "A120": {"targets": 300},
        "A121": {"most_fits": 4},
        "A122": {"claim": (-1.0, 0.0)},
    }.items():
        with pytest.raises(AuditError) as caught:
            attacks.shadow_attack(bootstrap, ROWS, schema=SCHEMA, **options)  # type: ignore[arg-type]
        assert caught.value.code == f"DPS-{code}"
    with pytest.raises(AuditError):
        attacks.shadow_attack(bootstrap, ROWS, [1, 999], schema=SCHEMA)
    with pytest.raises(DataError):
        attacks.shadow_attack(lambda rows, rng: rows.drop(columns="c1"), ROWS, schema=SCHEMA)
