"""Planted leaks are called, nothing is not called, and what cannot be concluded is said."""

from __future__ import annotations

import json
from collections.abc import Callable

import known_leaks
import numpy as np
import pandas as pd
import pytest
from attacked_files import SCHEMA, Files, frame

import attacks
from attacks import INCONCLUSIVE, LEAK, NO_EVIDENCE, VIOLATION
from attacks.membership.marginals import GuessedTree, MarginalRatio, spanning_tree
from dpsynth.errors import AuditError, DataError
from dpsynth.records import Records
from dpsynth.schema import Schema
from dpsynth.table import read_table

Make = Callable[..., Files]


def test_a_copy_breaks_the_promise(files: Make) -> None:
    case = files()
    result = case.run(case.members)
    assert result.verdict == VIOLATION
    assert result.epsilon_at_least is not None
    assert result.epsilon_at_least > 3
    assert "proves an epsilon of at least" in result.headline
    assert result.bound is None
    recoded = next(c for c in result.controls if c.name == "copy of every row, recoded")
    assert recoded.adjusted_p > 1e-3, "one in twenty is seen by chance"


def test_a_copy_without_a_promise_is_a_leak(files: Make) -> None:
    case = files(1000, 500)
    result = case.run(case.members, claim=None)
    assert (result.verdict, result.bound) == (LEAK, "none claimed")


def test_a_copy_within_a_large_promise_is_a_leak_within(files: Make) -> None:
    case = files(1000, 500)
    result = case.run(case.members, claim=(50.0, 1e-6))
    assert (result.verdict, result.bound) == (LEAK, "within")


def test_without_a_random_split_the_strongest_verdict_is_a_leak(files: Make) -> None:
    case = files(1000, 500)
    result = case.run(case.members, split_is_random=False)
    assert result.verdict == LEAK
    assert "drift between the files" in result.headline
    assert result.epsilon_at_least is None


def test_one_percent_copied_is_found(files: Make) -> None:
    for seed in range(3):
        case = files(2000, 2000, seed)
        base = known_leaks.independent(case.reference, 2000, case.rng)
        result = case.run(known_leaks.with_copies(base, case.members, 0.01, case.rng))
        assert result.verdict in (LEAK, VIOLATION), str(result)


def test_noiseless_marginals_are_found_by_the_likelihood_ratio(files: Make) -> None:
    case = files(1000, 500)
    synthetic, cliques = known_leaks.tree(case.members, 1000, case.rng)
    result = case.run(synthetic, cliques=cliques)
    found = {a.name: a for a in result.attacks if a.group == "everyone"}
    assert result.verdict in (LEAK, VIOLATION)
    assert found["marginal ratio, cliques known"].adjusted_p <= 0.05
    assert found["marginal ratio"].adjusted_p <= 0.05
    assert found["marginal ratio, cliques known"].auc.value > found["marginal ratio"].auc.value
    assert found["closest record"].auc.high < found["marginal ratio"].auc.low  # distances miss it


def test_who_guesses_the_tree_needs_not_be_told(files: Make) -> None:
    """He reads the measured pairs off the rows, and sees nearly what somebody sees who knows them."""
    case = files(1000, 500)
    synthetic, cliques = known_leaks.tree(case.members, 1000, case.rng)
    truth = {frozenset(clique) for clique in cliques}
    assert len({frozenset(pair) for pair in spanning_tree(synthetic)} & truth) >= len(truth) - 1
    attack = GuessedTree()
    result = case.run(synthetic, attacks=[attack, MarginalRatio()])
    guessed, pairs = (
        next(a for a in result.attacks if a.name == name and a.group == "everyone")
        for name in (attack.name, "marginal ratio")
    )
    assert guessed.auc.value > pairs.auc.value
    assert "guesses a tree" in guessed.threat.sentence
    fresh = case.run(case.reference, attacks=[attack])
    assert min(a.adjusted_p for a in fresh.attacks) > 1e-3, "no leak that chance would not give"


def test_fresh_rows_and_independent_rows_show_nothing(files: Make) -> None:
    case = files(2000, 2000, seed=2)
    for synthetic in (case.reference, known_leaks.independent(case.reference, 2000, case.rng)):
        result = case.run(synthetic)
        assert result.verdict == NO_EVIDENCE, str(result)
        assert result.smallest_share is not None
        assert result.smallest_share <= 0.01
        assert "no proof of privacy" in result.headline
        assert result.epsilon_at_least == 0.0


def test_a_failed_positive_control_is_inconclusive(files: Make) -> None:
    case = files(300, 60, seed=1)  # one table in twenty alarms by chance: not this one
    result = case.run(case.reference)
    assert result.verdict == INCONCLUSIVE
    assert "did not see a planted copy of 1 % of the rows" in result.headline
    assert any(c.kind == "positive" and not c.passed for c in result.controls)
    assert case.run(case.reference, must_see=0.6).verdict == NO_EVIDENCE


def test_a_failed_negative_control_is_inconclusive(files: Make) -> None:
    """Controls of another kind: every attack would alarm at rows that leak nothing."""
    case = files(1000, 600)
    shifted = Records(case.controls.domain, tuple((c + 1) % 8 for c in case.controls.columns))
    result = Files(case.members, shifted, case.reference, case.rng).run(case.reference)
    assert result.verdict == INCONCLUSIVE
    assert "raised an alarm too" in result.headline


def test_an_attack_that_sees_nothing_cannot_give_a_clean_bill(files: Make) -> None:
    class Asleep:
        name = "asleep"
        threat = attacks.ThreatModel((attacks.Holds.SYNTHETIC,), attacks.Wants.MEMBERSHIP, "sleeps")

        def __call__(self, view: attacks.View, rng: np.random.Generator) -> np.ndarray:
            return np.zeros(view.candidates.units)

    case = files(500, 500)
    assert case.run(case.members, attacks=[Asleep()]).verdict == INCONCLUSIVE


def test_a_leak_of_one_group_is_found_in_it(files: Make) -> None:
    case = files(1500, 1500)
    group = np.flatnonzero(case.members["c1"] == 3)
    rest = known_leaks.independent(case.reference, 1500 - len(group), case.rng)
    copied = case.members.take(group)
    columns = tuple(np.concatenate(pair) for pair in zip(copied.columns, rest.columns, strict=True))
    synthetic = Records(rest.domain, columns)
    result = case.run(synthetic, groups=["c1"])
    in_group = next(a for a in result.attacks if a.label == "exact cells on the c1 = 3")
    assert in_group.auc.value > 0.95
    assert in_group.adjusted_p <= 0.05
    assert {a.group for a in result.attacks if a.group.startswith("c1")} == {f"c1 = {v}" for v in range(8)}


class TestPeople:
    """Several rows a person: people are what is held out, scored and permuted."""

    SCHEMA = Schema(
        columns={"who": {"type": "id"}, **SCHEMA.columns},
        unit={"entity": "person", "column": "who", "rows_per_unit": 3},
    )

    def table(self, records: Records, rng: np.random.Generator, prefix: str = "p") -> pd.DataFrame:
        """Up to three rows a person, alike but for two columns."""
        person = np.repeat(np.arange(len(records)), rng.integers(1, 4, len(records)))
        rows = frame(records.take(person))
        for name in ("c0", "c2"):
            rows[name] = rng.permutation(rows[name].to_numpy())
        return rows.assign(who=[f"{prefix}{p}" for p in person])

    def test_people_are_counted_not_rows(self, files: Make) -> None:
        case = files(1500, 800)
        members, controls = self.table(case.members, case.rng), self.table(case.controls, case.rng, "q")
        fresh = self.table(case.reference, case.rng, "r")
        result = attacks.run_suite(fresh, members, controls, self.SCHEMA, (1.0, 1e-9), rng=case.rng)
        assert (result.members, result.controls_held_out, result.entity) == (1500, 800, "person")
        assert result.verdict == NO_EVIDENCE, str(result)
        assert len(result.scores()) == 2300
        copied = attacks.run_suite(members, members, controls, self.SCHEMA, (1.0, 1e-9), rng=case.rng)
        assert copied.verdict == VIOLATION
        assert "people" in copied.headline

    def test_alike_rows_of_one_person_give_no_false_alarm(self, files: Make) -> None:
        """Permuting rows instead of people would call this a leak."""
        case = files(300, 300, seed=5)
        members, controls = self.table(case.members, case.rng), self.table(case.controls, case.rng, "q")
        few = case.reference.take(np.arange(60))
        result = attacks.run_suite(
            self.table(few, case.rng, "r"), members, controls, self.SCHEMA, None, rng=case.rng
        )
        assert result.verdict in (NO_EVIDENCE, INCONCLUSIVE)

    def test_people_in_both_files_do_not_count_as_held_out(self, files: Make) -> None:
        case = files(400, 400)
        members, controls = self.table(case.members, case.rng), self.table(case.controls, case.rng, "q")
        mixed = pd.concat([controls, members[members["who"] == "p7"]])
        result = attacks.run_suite(members, members, mixed, self.SCHEMA, (1.0, 1e-9), rng=case.rng)
        assert result.controls_held_out == 400
        assert any("1 held-out persons are among the members" in w for w in result.warnings)
        all_shared = attacks.run_suite(members, members, members.head(50), self.SCHEMA, None, rng=case.rng)
        assert all_shared.verdict == INCONCLUSIVE
        assert "every held-out person is among the members" in all_shared.headline

    def test_held_out_people_with_more_rows_than_members_may_have_are_cut(self, files: Make) -> None:
        case = files(400, 400)
        members, controls = self.table(case.members, case.rng), self.table(case.controls, case.rng, "q")
        longer = pd.concat([controls, controls, controls])
        result = attacks.run_suite(members, members, longer, self.SCHEMA, None, rng=case.rng)
        assert any("at most 3 rows per person" in w for w in result.warnings)


class TestBadInput:
    def test_no_controls(self, files: Make) -> None:
        case = files(200, 100)
        for nothing in (None, frame(case.controls).head(0)):
            result = attacks.run_suite(frame(case.members), frame(case.members), nothing, SCHEMA, None)
            assert result.verdict == INCONCLUSIVE
            assert "no held-out rows" in result.headline
            json.dumps(result.as_json())
            assert str(result)
            assert result.worst is None

    def test_controls_that_are_the_members(self, files: Make) -> None:
        case = files(300, 100)
        again = Files(case.members, case.members, case.reference, case.rng)
        result = again.run(case.reference)
        assert result.verdict == INCONCLUSIVE
        assert "held-out rows are the members' rows" in result.headline

    def test_controls_that_overlap_with_the_members(self, files: Make) -> None:
        case = files(1200, 1000)
        half = known_leaks.with_copies(case.controls, case.members, 0.5, case.rng)
        result = Files(case.members, half, case.reference, case.rng).run(case.reference)
        assert result.verdict == INCONCLUSIVE
        assert "Rows are in both files" in result.headline

    @pytest.mark.parametrize("rows", [1, 10])
    def test_few_rows(self, files: Make, rows: int) -> None:
        case = files(400, 200)
        few = case.reference.take(np.arange(rows))
        assert case.run(few).verdict == INCONCLUSIVE
        assert Files(few, case.controls, case.reference, case.rng).run(case.reference).verdict == INCONCLUSIVE
        tiny = Files(case.members, few, case.reference, case.rng).run(case.members)
        assert tiny.verdict in (INCONCLUSIVE, LEAK) if rows == 10 else tiny.verdict == INCONCLUSIVE

    def test_other_columns_and_values(self, files: Make) -> None:
        case = files(100, 100)
        good = frame(case.members)
        with pytest.raises(DataError):
            attacks.run_suite(good.drop(columns="c1"), good, good, SCHEMA, None)
        with pytest.raises(DataError):
            attacks.run_suite(good.assign(c1="unheard of"), good, good, SCHEMA, None)

    def test_unusable_arguments(self, files: Make) -> None:
        case = files(100, 100)
        good = frame(case.members)
        table = read_table(good, SCHEMA)
        other = Schema(columns={"c0": {"type": "integer", "min": 0, "max": 7}})
        for code, call in {
            "A101": lambda: attacks.run_suite(read_table(good[["c0"]], other), good, good, SCHEMA, None),
            "A102": lambda: attacks.run_suite(table.take(slice(0, 0)), good, good, SCHEMA, None),
            "A103": lambda: case.run(case.reference, cliques=(("c0", "nowhere"),)),
            "A104": lambda: case.run(case.reference, claim=(-1.0, 0.0)),
            "A105": lambda: case.run(case.reference, must_see=0.0),
            "A106": lambda: case.run(case.reference, coin=1.0),
            "A107": lambda: case.run(case.reference, attacks=[]),
            "A109": lambda: case.run(case.reference, groups=["nowhere"]),
        }.items():
            with pytest.raises(AuditError) as caught:
                call()
            assert caught.value.code == f"DPS-{code}"

    def test_an_attack_that_answers_nonsense(self, files: Make) -> None:
        class Broken:
            name = "broken"
            threat = attacks.ThreatModel((attacks.Holds.SYNTHETIC,), attacks.Wants.MEMBERSHIP, "errs")

            def __call__(self, view: attacks.View, rng: np.random.Generator) -> np.ndarray:
                return np.full(view.candidates.units, np.nan)

        case = files(100, 100)
        with pytest.raises(AuditError, match="one number per row"):
            case.run(case.reference, attacks=[Broken()])


def test_the_result_is_a_value_that_prints_and_converts(files: Make) -> None:
    case = files(1500, 1200)
    steps: list[tuple[str, float]] = []
    synthetic, cliques = known_leaks.tree(case.members, 1500, case.rng, sigma=3.0)
    before = frame(case.members)
    result = case.run(synthetic, cliques=cliques, progress=lambda step, done: steps.append((step, done)))
    again = json.loads(json.dumps(result.as_json()))
    assert again["verdict"] == result.verdict
    assert len(again["attacks"]) == len(result.attacks)
    assert "scores" not in again["attacks"][0]
    text = str(result)
    assert all(attack.name in text for attack in result.attacks)
    assert "most isolated 5 %" in text
    table = result.to_frame()
    assert len(table) == len(result.attacks)
    assert table["auc_allowed"].notna().all()
    assert table["tpr_at_0.01"].notna().any()
    assert (table["tpr_at_0.001"].isna()).all()  # 1,200 controls cannot carry it
    assert (table["tpr_at_0.01_allowed"] > 0.01).all()
    assert set(table["wants"]) >= {"membership", "singling out"}
    assert text.startswith(result.verdict)
    scores = result.scores()
    assert scores["member"].sum() == 1500
    assert (
        not scores.drop(columns="ensemble").isna().any().any()
    )  # that one learns on a half and judges the other
    assert scores["ensemble"].isna().mean() == pytest.approx(0.5, abs=0.01)
    roc = result.roc()
    assert (roc.groupby("attack")[["fpr", "tpr"]].max() == 1.0).all().all()
    assert roc["claim_allows_at_most"].between(0, 1).all()
    assert roc.groupby("attack")["fpr"].is_monotonic_increasing.all()
    assert len(result.roc(50)) < len(roc)
    done = [share for _, share in steps]
    assert done == sorted(done)
    assert done[-1] == 1.0
    pd.testing.assert_frame_equal(before, frame(case.members))


def test_the_same_generator_gives_the_same_result(files: Make) -> None:
    case = files(300, 300)
    one, two = (
        attacks.run_suite(
            frame(case.reference), frame(case.members), frame(case.controls), SCHEMA, (1.0, 0.0),
            rng=np.random.default_rng(4),
        ).as_json()
        for _ in range(2)
    )  # fmt: skip
    assert one == two


def test_missing_values_numbers_and_dates_are_attacked(files: Make) -> None:
    rng = np.random.default_rng(9)
    schema = Schema(
        columns={
            "cost": {"type": "number", "min": 0, "max": 1000, "cells": 8, "missing": True},
            "day": {"type": "date", "min": "2020-01-01", "max": "2024-12-31", "cells": 10},
            "plan": {"type": "category", "values": ["A", "B"], "missing": True},
            "smoker": {"type": "boolean"},
        }
    )

    def draw(n: int) -> pd.DataFrame:
        cost = np.where(rng.random(n) < 0.1, np.nan, np.round(rng.gamma(2, 80, n).clip(0, 1000), 2))
        days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1800, n), unit="D")
        plan = np.where(rng.random(n) < 0.1, "", np.where(rng.random(n) < 0.4, "A", "B"))
        return pd.DataFrame({"cost": cost, "day": days, "plan": plan, "smoker": rng.random(n) < 0.3})

    members, controls = draw(1200), draw(900)
    copied = attacks.run_suite(members, members, controls, schema, (1.0, 1e-9), rng=rng)
    assert copied.verdict == VIOLATION
    assert copied.worst is not None
    assert copied.worst.name.startswith("exact row")
    fresh = attacks.run_suite(draw(1200), members, controls, schema, (1.0, 1e-9), rng=rng, must_see=0.05)
    assert fresh.verdict == NO_EVIDENCE, str(fresh)
