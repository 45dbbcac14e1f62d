"""Odd files, attacks of one's own, and little time: a clear statement each, never a false verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
from attacked_files import CELLS, COLUMNS, SCHEMA, Files, frame
from known_leaks import population

import attacks
from attacks import INCONCLUSIVE, LEAK, NO_EVIDENCE, VIOLATION, Holds, ThreatModel, Wants, timing
from attacks.planted import leaky
from attacks.prepare import finer_than_cells
from attacks.reidentification.nearest import ClosestRecord
from attacks.split import held_out_in_table
from attacks.threat import Candidates, Game, Rows, View
from dpsynth.errors import AuditError, DataError
from dpsynth.records import Records
from dpsynth.schema import Schema

Make = Callable[..., Files]


class Copies:
    """An attack of a user: which rows stand in the table word for word."""

    name = "my own"
    threat = ThreatModel((Holds.SYNTHETIC,), Wants.MEMBERSHIP, "looks the target's row up")

    def __call__(self, view: View, rng: np.random.Generator) -> np.ndarray:
        rows = view.candidates.rows
        return view.candidates.best(np.isin(rows.keys, view.synthetic.keys))


class TestOnesOwnAttack:
    def test_instead_of_the_default_set(self, files: Make) -> None:
        case = files(800, 800)
        result = case.run(case.members, attacks=[Copies()])
        assert {attack.name for attack in result.attacks} == {"my own"}
        assert [attack.threat.targets for attack in result.attacks] == [
            attacks.Targets.RANDOM,
            attacks.Targets.ISOLATED,
        ]
        assert result.verdict == VIOLATION
        assert all(c.passed for c in result.controls)
        clean = case.run(case.reference, attacks=[Copies()], must_see=0.2)
        assert clean.verdict == NO_EVIDENCE, str(clean)
        assert "None of 1 attacks" in clean.headline

    def test_besides_the_default_set(self, files: Make) -> None:
        case = files(150, 150)
        result = case.run(case.members, attacks=["default", Copies()])
        names = [attack.name for attack in result.attacks if attack.group == "everyone"]
        assert names[-2:] == ["my own", "ensemble"]  # which weighs one's own attack too
        assert "closest record" in names
        mine = next(attack for attack in result.attacks if attack.name == "my own")
        told = mine.as_json()
        assert told["knows"] == "the synthetic rows; looks the target's row up"
        assert told["threat"]["wants"] == "membership"
        assert "he holds the synthetic rows; looks" in mine.threat.sentence

    def test_a_threat_model_says_something(self) -> None:
        with pytest.raises(ValueError, match="holds something"):
            ThreatModel((), Wants.MEMBERSHIP, "guesses")
        many = ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA, Holds.CLIQUES), Wants.LINKAGE, "counts")
        assert many.words.startswith("the synthetic rows, the schema and which tables")


class TestOddFiles:
    def test_a_table_that_fits_no_schema(self, files: Make) -> None:
        case = files(100, 100)
        good = frame(case.reference)
        odd = {
            "another column": good.assign(extra=1).drop(columns="c3"),
            "another type": good.assign(c0="many"),
            "another category": good.assign(c1="9"),
            "out of bounds": good.assign(c0=99),
        }
        for name, table in odd.items():
            with pytest.raises(DataError) as caught:
                attacks.run_suite(table, frame(case.members), frame(case.controls), SCHEMA, None)
            assert "column" in str(caught.value), name
        with pytest.raises(DataError, match="no rows"):
            attacks.run_suite(good.head(0), frame(case.members), frame(case.controls), SCHEMA, None)

    def test_no_held_out_rows(self, files: Make) -> None:
        case = files(100, 100)
        result = attacks.run_suite(frame(case.members), frame(case.members), None, SCHEMA, (1.0, 0.0))
        assert result.verdict == INCONCLUSIVE
        assert "Keep rows of some people" in result.headline
        assert len(result.to_frame()) == 0
        assert list(result.scores().columns) == ["member"]

    def test_held_out_rows_that_are_some_of_the_members(self, files: Make) -> None:
        case = files(600, 10)
        half = case.members.take(np.arange(0, 600, 2))
        for synthetic in (case.members, case.reference):
            result = Files(case.members, half, case.reference, case.rng).run(synthetic, attacks=[Copies()])
            assert result.verdict == INCONCLUSIVE, str(result)
            assert "Rows are in both files" in result.headline

    def test_swapped_files(self, files: Make) -> None:
        case = files(800, 800, seed=1)
        half = Records(
            case.controls.domain,
            tuple(
                np.concatenate([a[:160], b[:640]])
                for a, b in zip(case.controls.columns, case.reference.columns, strict=True)
            ),
        )
        for synthetic, words in ((case.controls, "stand in the table"), (half, "files swapped")):
            result = case.run(synthetic, attacks=[Copies(), ClosestRecord()])
            assert result.verdict == INCONCLUSIVE, str(result)
            assert words in result.headline
            assert result.as_json()["knows_held_out_rows"], "the gate goes by it"
        assert not case.run(case.reference, attacks=[Copies()]).as_json()["knows_held_out_rows"]

    def test_swapped_files_and_the_whole_default_set(self, files: Make) -> None:
        """An attack that is told who was in for half of the people learns that members are far from the table."""
        case = files(800, 800, seed=1)
        result = case.run(case.controls, claim=(0.5, 1e-9))
        learnt = next(a for a in result.attacks if a.name == "ensemble")
        assert learnt.adjusted_p < 0.01, "it sees that"
        assert result.verdict == INCONCLUSIVE, str(result)
        assert "made without them" in result.headline

    def test_a_few_members_among_the_held_out_are_no_controls(self, files: Make) -> None:
        case = files(6000, 1000)  # four columns without structure: hardly any rows coincide by chance
        wide = [case.rng.integers(0, CELLS, (4, n)) for n in (6000, 1000, 6000)]
        members, controls, reference = (
            Records(rows.domain, (*new, *rows.columns[4:]))
            for rows, new in zip((case.members, case.controls, case.reference), wide, strict=True)
        )
        mixed = [
            np.concatenate([a[:45], b[45:]]) for a, b in zip(members.columns, controls.columns, strict=True)
        ]
        odd = Files(members, Records(controls.domain, tuple(mixed)), reference, case.rng)
        result = odd.run(reference, attacks=[Copies()])
        assert 950 <= result.controls_held_out <= 960
        assert any("so many of them were left out" in words for words in result.warnings)
        assert all(math.isfinite(a.auc.value) for a in result.attacks)
        coins = odd.run(reference, attacks=[Copies()], coin=1 / 7)
        assert coins.controls_held_out == 1000, "by whom the declared coins fell, nobody leaves"

    def test_few_synthetic_rows_are_said_to_be_few(self, files: Make) -> None:
        case = files(600, 300)
        result = case.run(case.reference.take(np.arange(10)), attacks=[Copies()])
        assert result.verdict == INCONCLUSIVE
        assert "Of the 10 synthetic rows that is" in result.headline

    def test_no_overlap_outweighs_a_proof_by_declared_coins(self, files: Make) -> None:
        """A table that copies every member, and a fifth of the held-out rows among the members' by another name."""
        case = files(800, 800, seed=1)
        mixed = [
            np.concatenate([a[:160], b[160:]])
            for a, b in zip(case.members.columns, case.controls.columns, strict=True)
        ]
        case = Files(case.members, Records(case.controls.domain, tuple(mixed)), case.reference, case.rng)
        assert case.run(case.members, claim=(0.5, 1e-9), attacks=[Copies()]).verdict == INCONCLUSIVE
        result = case.run(case.members, claim=(0.5, 1e-9), coin=0.5, attacks=[Copies()])
        assert result.verdict == VIOLATION, str(result)

    def test_a_table_made_from_both_files(self, files: Make) -> None:
        """Members and held-out rows are copied alike: no attack can tell them apart, and that is no good sign."""
        case = files(1000, 500)
        both = [
            np.concatenate(pair) for pair in zip(case.members.columns, case.controls.columns, strict=True)
        ]
        result = case.run(Records(case.members.domain, tuple(both)), attacks=[Copies(), ClosestRecord()])
        assert result.verdict == INCONCLUSIVE, str(result)
        assert "Hold rows out before anything is trained" in result.headline

    @pytest.mark.parametrize("cells", [2, 40, 1500])
    def test_the_best_guesses_at_rows_do_not_pass_for_held_out_ones(self, cells: int) -> None:
        """Every likely row once: the table that meets most fresh rows without having seen one."""
        rng = np.random.default_rng(0)
        real = population(2000, rng, 1, cells)
        listed = Records.of(real.domain, {"c0": np.arange(2000) % cells})
        one = np.zeros(1, bool)
        pool = Candidates(Rows.of_records(real, one), np.arange(2000), one)
        game = Game(View(Rows.of_records(listed, one), pool, 0.75), np.arange(2000) < 1500, None)
        assert held_out_in_table(game, rng) is None
        copied = game.on(pool.rows.take(np.arange(1500, 2000)))
        assert (held_out_in_table(copied, rng) is None) == (
            cells < 1500
        )  # where rows are few, all are met anyway

    def test_one_column(self) -> None:
        rng = np.random.default_rng(1)
        schema = Schema(columns={"x": {"type": "category", "values": ["a", "b", "c"]}})
        draw = lambda n: pd.DataFrame({"x": rng.choice(["a", "b", "c"], n)})  # noqa: E731
        result = attacks.run_suite(draw(300), draw(300), draw(300), schema, None, rng=rng)
        assert result.verdict == INCONCLUSIVE  # nobody can see one copied row in a hundred here
        assert "did not see a planted copy" in result.headline


class TestGroups:
    def test_small_groups_are_named_and_others_warned_about(self, files: Make) -> None:
        case = files(900, 600)
        columns = dict(zip(case.members.domain.attributes, case.members.columns, strict=True))
        few = Records.of(
            case.members.domain, {**columns, "c1": np.where(np.arange(900) < 5, 7, columns["c1"] % 2)}
        )
        rest = dict(zip(case.controls.domain.attributes, case.controls.columns, strict=True))
        held = Records.of(case.controls.domain, {**rest, "c1": np.where(np.arange(600) < 50, 1, 0)})
        result = Files(few, held, case.reference, case.rng).run(case.reference, groups=["c1"])
        groups = {attack.group for attack in result.attacks}
        assert "c1 = 7" not in groups
        assert {"c1 = 0", "c1 = 1"} <= groups
        assert any("too few rows to look at by themselves" in w and "c1 = 7" in w for w in result.warnings)
        assert any("only a large leak would show: c1 = 1 (50)" in w for w in result.warnings)

    def test_unknown_columns_are_refused(self, files: Make) -> None:
        case = files(50, 50)
        for option in ("groups", "secrets", "quasi_identifiers"):
            with pytest.raises(AuditError) as caught:
                case.run(case.reference, **{option: ["nowhere"]})
            assert caught.value.code == "DPS-A109"


def test_the_schema_alone_says_whether_values_are_finer_than_cells() -> None:
    def finer(column: dict[str, object]) -> bool:
        return finer_than_cells(Schema(columns={"x": column, "y": {"type": "boolean"}}))

    assert not finer({"type": "integer", "min": 0, "max": 7})
    assert not finer({"type": "category", "values": ["a", "b"]})
    assert finer({"type": "integer", "min": 0, "max": 110, "cells": 11})
    assert finer({"type": "number", "min": 0, "max": 1, "cells": 2})
    assert finer({"type": "date", "min": "2020-01-01", "max": "2020-12-31", "cells": 12})


def test_which_attacks_run_does_not_depend_on_the_rows() -> None:
    """All ages are round here, so that no value says more than its cell; the exact row is looked for all the same."""
    schema = Schema(columns={"age": {"type": "integer", "min": 0, "max": 99, "cells": 10}})
    rng = np.random.default_rng(2)
    draw = lambda n: pd.DataFrame({"age": 10 * rng.integers(0, 10, n)})  # noqa: E731
    result = attacks.run_suite(draw(200), draw(200), draw(200), schema, None, rng=rng)
    assert any(attack.name == "exact row" for attack in result.attacks)


class TestSampledMembers:
    """The members are a tenth of the training data: most copies are of people whom nobody attacks."""

    def test_copies_are_planted_in_keeping_with_it(self, files: Make) -> None:
        case = files(1000, 500)
        ordered = np.ones(COLUMNS, bool)
        rows = Rows.of_records(case.members, ordered)
        view = View(
            Rows.of_records(case.reference, ordered),
            Candidates(rows, np.arange(1000), ordered),
            0.5,
            sampled=0.1,
        )
        game = Game(view, np.ones(1000, bool), None)
        known = set(rows.keys.tolist())
        for share, whole in ((1.0, 1000), (0.5, 1100)):
            made = leaky(game, share, case.rng, verbatim=True).view.synthetic
            before = np.isin(view.synthetic.keys, rows.keys).sum()
            copied = sum(key in known for key in made.keys.tolist())
            assert len(made) == whole
            assert copied <= before + 100
            assert copied >= 100

    def test_the_words_say_so(self, files: Make) -> None:
        case = files(800, 800, seed=2)
        result = case.run(case.reference, sampled=0.1, must_see=0.5, attacks=[Copies()])
        assert result.verdict == NO_EVIDENCE, str(result)
        assert "told a sample of 800 rows, 10 % of the training data, from" in result.headline
        assert result.as_json()["members_are_this_share_of_the_training_data"] == 0.1
        with pytest.raises(AuditError) as caught:
            case.run(case.reference, sampled=1.5)
        assert caught.value.code == "DPS-A111"


class Tick:
    """A clock that stands still but for what attacks add to it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    threat = ThreatModel((Holds.SYNTHETIC,), Wants.MEMBERSHIP, "takes its time")

    def __init__(self, name: str, clock: Tick, seconds: float, power: float = 1.0) -> None:
        self.name, self.clock, self.seconds, self.power = name, clock, seconds, power

    def __call__(self, view: View, rng: np.random.Generator) -> np.ndarray:
        size = view.candidates.units * len(view.synthetic) / 4e6
        self.clock.now += self.seconds * size ** (self.power / 2)
        return view.candidates.best(np.isin(view.candidates.rows.keys, view.synthetic.keys))


class TestLittleTime:
    def chosen(self, budget: float, *slow: tuple[str, float, float]) -> tuple[str, ...]:
        clock, rng = Tick(), np.random.default_rng(0)
        ordered = np.arange(COLUMNS) % 2 == 0
        rows = Rows.of_records(population(4000, rng, COLUMNS, 8), ordered)
        view = View(
            rows.take(np.arange(2000)),
            Candidates(rows.take(np.arange(2000, 4000)), np.arange(2000), ordered),
            0.5,
        )
        game = Game(view, rng.random(2000) < 0.5, None)
        attacks_ = [Slow(name, clock, seconds, power) for name, seconds, power in slow]
        found = timing.within(game, attacks_, budget, 99, rng, clock)
        assert found.seconds <= budget or len(found.attacks) == 1
        return found.left_out

    def test_what_does_not_fit_is_left_out(self) -> None:
        slow = (("linear", 1.0, 1.0), ("square", 10.0, 2.0), ("small", 0.1, 1.0))
        assert self.chosen(200.0, *slow) == ()
        assert self.chosen(10 * timing.PASSES, *slow) == ("square",)
        assert self.chosen(1.01 * timing.PASSES, *slow) == ("square", "small")
        assert self.chosen(0.01, *slow) == ("square", "small", "most isolated 5 %")

    def test_the_result_names_it(self, files: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Tick()
        monkeypatch.setattr("attacks.suite.timing.within", partial(timing.within, clock=clock))
        case = files(600, 600)
        mine = [Slow("quick", clock, 0.01), Slow("slow", clock, 1e4)]
        result = case.run(case.reference, attacks=mine, time_budget=60.0, must_see=0.2)
        assert result.left_out == ("slow",)
        assert {attack.name for attack in result.attacks} == {"quick"}
        assert "Left out for lack of time: slow." in result.headline
        assert result.as_json()["left_out"] == ["slow"]
        assert "left out, they did not fit into the time: slow" in str(result)
        assert case.run(case.members, attacks=mine[:1], time_budget=60.0).verdict in (LEAK, VIOLATION)
