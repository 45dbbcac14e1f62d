"""The account: who may spend, how much, and what it says about it."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.budget import Budget, Cost
from dpsynth.errors import BudgetError, DPSynthError
from dpsynth.privacy import accounting, filters, ledger_filter, sensitivity
from dpsynth.privacy.events import (
    BoundedRange,
    Charge,
    Composed,
    DiscreteGaussian,
    DpSgd,
    Event,
    External,
    GdpGrant,
    PartitionSelection,
    ZcdpGrant,
)
from dpsynth.privacy.ledger import Grant, Ledger, Unit
from dpsynth.privacy.ledger_book import Spending
from dpsynth.privacy.ledger_filter import Filter, round_down

PROMISE = Budget(3.0, 1e-9)
ROW = Unit("row")


def marginals(cost: Cost) -> list[Event]:
    return [sensitivity.measure_event(cost, 1, [1.0] * 20)]


def mst(cost: Cost) -> list[Event]:
    third = cost.share(1 / 3)
    choice = sensitivity.select_event(third.share(1 / 10))
    measured = sensitivity.measure_event(third, 1, [1.0] * 14)
    return [measured, BoundedRange(choice.epsilon, 10), measured]


def aim(cost: Cost) -> list[Event]:
    return [sensitivity.measure_event(cost.share(0.1), 1, [1.0] * 14), GdpGrant((1.8 * cost.rho) ** 0.5)]


def discovering(cost: Cost) -> list[Event]:
    noise = DiscreteGaussian(sensitivity.gaussian_sigma(cost.share(0.1), 1, 1), 1)
    return [PartitionSelection(noise, 1e-11), *marginals(cost.share(0.9))]


def charges(events: list[Event]) -> list[Charge]:
    return [Charge(f"step {number}", event) for number, event in enumerate(events)]


def calibrated(plan: object, epsilon: float, delta: float = PROMISE.delta) -> list[Charge]:
    assert callable(plan)
    return charges(plan(accounting.calibrate(plan, Budget(epsilon, delta))))


def code(error: pytest.ExceptionInfo[DPSynthError]) -> str:
    return error.value.code.removeprefix("DPS-")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.ledger"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger.open(path, dataset="people", promise=PROMISE)


class TestOpening:
    def test_a_ledger_outlives_its_handle(self, ledger: Ledger, path: Path) -> None:
        ledger.reserve("one", calibrated(marginals, 1.0), Budget(1.0, 1e-9)).commit()
        again = Ledger.load(path)
        assert (again.dataset, again.promise, again.unit) == ("people", PROMISE, ROW)
        assert again.spent() == ledger.spent()
        assert again.head == ledger.head
        assert again.releasable

    @pytest.mark.parametrize("plan", [marginals, mst, aim, discovering])
    def test_a_single_run_may_use_the_whole_promise(self, tmp_path: Path, plan: object) -> None:
        ledger = Ledger.open(tmp_path / "l", dataset="d", promise=PROMISE)
        ledger.reserve("all", calibrated(plan, 3.0), PROMISE).commit()
        assert ledger.spent().epsilon <= PROMISE.epsilon
        assert ledger.remaining().epsilon < 0.2
        with pytest.raises(BudgetError) as refused:
            ledger.reserve("more", calibrated(marginals, 0.5), Budget(0.5, 1e-9))
        assert code(refused) == "B210"

    def test_only_the_first_run_is_judged_by_its_own_certificate(self, ledger: Ledger) -> None:
        """Else an early small run would choose between two accountants after seeing results."""
        ledger.reserve("tiny", calibrated(marginals, 0.01), Budget(0.01, 1e-9)).commit()
        with pytest.raises(BudgetError) as refused:
            ledger.reserve("nearly all", calibrated(marginals, 2.9999), Budget(2.9999, 1e-9))
        assert code(refused) == "B210"

    def test_what_must_agree(self, ledger: Ledger, path: Path) -> None:
        assert Ledger.open(path, dataset="people").promise == PROMISE
        assert Ledger.open(path, dataset="people", promise=PROMISE, unit=ROW).promise == PROMISE
        for expected, changed in {
            "B206": {"dataset": "other"},
            "B207": {"dataset": "people", "promise": Budget(4.0, 1e-9)},
            "B208": {"dataset": "people", "unit": Unit("person", "id", 3)},
        }.items():
            with pytest.raises(BudgetError) as refused:
                Ledger.open(path, **changed)  # type: ignore[arg-type]
            assert code(refused) == expected

    def test_missing_ledgers(self, path: Path) -> None:
        for opened in (lambda: Ledger.load(path), lambda: Ledger.open(path, dataset="people")):
            with pytest.raises(BudgetError) as refused:
                opened()
            assert code(refused) == "B205"
            assert not path.exists()
        path.touch()
        Ledger.open(path, dataset="people", promise=PROMISE)

    def test_a_link_is_the_same_ledger(self, ledger: Ledger, path: Path, tmp_path: Path) -> None:
        other = tmp_path / "elsewhere"
        other.mkdir()
        (other / "alias.ledger").symlink_to(path)
        Ledger.load(other / "alias.ledger").block("m", "why")
        assert ledger.blocked("m") == "why"
        assert not (other / "alias.ledger.head").exists()

    def test_hostile_names(self, tmp_path: Path) -> None:
        for name in ("", "  ", "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "x" * 201, "\ud800", "a\u2028b"):
            with pytest.raises(BudgetError) as refused:
                Ledger.open(tmp_path / "l", dataset=name, promise=PROMISE)
            assert code(refused) in {"B201", "B202", "B203"}
            assert name not in str(refused.value) or not name.strip()
        decomposed, composed = "Ge\u0301ant", "G\u00e9ant"
        Ledger.open(tmp_path / "l", dataset=decomposed, promise=PROMISE)
        assert Ledger.open(tmp_path / "l", dataset=composed).dataset == composed
        strange = "'; DROP TABLE entries; -- <script>"
        assert Ledger.open(tmp_path / "m", dataset=strange, promise=PROMISE).dataset == strange

    def test_handles_stay_where_they_are(self, ledger: Ledger) -> None:
        run = ledger.reserve("one", [Charge("a", GdpGrant(0.1))], PROMISE)
        grant = run.grant("a")
        for handle in (ledger, run, grant):
            for use in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError):
                    use(handle)

    def test_a_closed_ledger(self, path: Path) -> None:
        with Ledger.open(path, dataset="people", promise=PROMISE) as ledger:
            pass
        for use in (ledger.spent, ledger.export, lambda: ledger.block("m", "w"), lambda: ledger.entries):
            with pytest.raises(BudgetError) as refused:
                use()
            assert code(refused) == "B218"

    def test_in_memory(self) -> None:
        account = Ledger.in_memory(Budget(1.0, 1e-6), ROW)
        run = account.reserve("trial", calibrated(marginals, 1.0, 1e-6), Budget(1.0, 1e-6))
        assert not account.releasable
        assert not run.receipt().releasable
        assert run.receipt().promise is None
        with pytest.raises(BudgetError):
            account.reserve("more", calibrated(marginals, 0.5, 1e-6), Budget(0.5, 1e-6))

    def test_private_file_modes(self, ledger: Ledger, path: Path) -> None:
        for file in (path, path.with_name("people.ledger.head")):
            assert file.stat().st_mode & 0o077 == 0


class TestFilter:
    def test_runs_add_up_to_the_promise_and_no_further(self, ledger: Ledger) -> None:
        plan = calibrated(marginals, 1.0)
        weight = Filter(PROMISE, 1e-10).weigh([charge.event for charge in plan])
        room = accounting.gaussian_mu(3.0, 0.9e-9)
        assert int((room / weight.mu) ** 2) == 7
        for _ in range(7):
            ledger.reserve("again", plan, Budget(1.0, 1e-9)).commit()
        with pytest.raises(BudgetError) as refused:
            ledger.reserve("again", plan, Budget(1.0, 1e-9))
        assert code(refused) == "B210"
        assert ledger.spent().epsilon <= 3.0
        assert ledger.spent().d0 <= 1e-10
        text = str(refused.value)
        assert "one more run of epsilon 0.92 fits" in text
        assert "people" in text

    @pytest.mark.parametrize("plan", [marginals, mst, aim])
    @pytest.mark.parametrize("before", [0.3, 1.5, 2.5, 2.9])
    def test_what_is_promised_in_words_is_kept(self, plan: object, before: float) -> None:
        account = Ledger.in_memory(PROMISE, ROW)
        account.reserve("before", calibrated(marginals, before), Budget(before, 1e-9))
        words = account.remaining()
        assert f"one more run of epsilon {words.epsilon:g} fits" in words.words
        one_more = calibrated(plan, words.epsilon)
        assert account.fits([charge.event for charge in one_more])
        account.reserve("one more", one_more, Budget(words.epsilon, 1e-9))

    def test_words_about_the_end(self) -> None:
        account = Ledger.in_memory(PROMISE, ROW)
        assert account.remaining().epsilon == 3.0
        account.reserve("all", calibrated(marginals, 3.0), PROMISE)
        assert account.remaining().words == "nothing is left: no further run fits"
        assert account.room() == 0.0

    def test_dp_sgd_beside_marginals(self) -> None:
        account = Ledger.in_memory(PROMISE, ROW)
        account.reserve("a", [Charge("sgd", DpSgd(0.05, 6.0, 2000))], Budget(2.2, 1e-9))
        account.reserve("b", calibrated(marginals, 1.5), Budget(1.5, 1e-9))
        mu = [accounting.dominating_gaussian([DpSgd(0.05, 6.0, 2000)], 1e-11)]
        assert account.spent().mu > mu[0]
        assert not account.fits([DpSgd(0.05, 6.0, 2000)])

    def test_affordable_finds_what_fits(self) -> None:
        account = Ledger.in_memory(PROMISE, ROW)
        account.reserve("before", calibrated(marginals, 2.7), Budget(2.7, 1e-9))
        epsilon = account.affordable(mst, Budget(2.0, 1e-9))
        assert account.remaining().epsilon <= epsilon <= 1.1 * account.remaining().epsilon
        account.reserve("fits", calibrated(mst, epsilon), Budget(epsilon, 1e-9))
        assert account.affordable(mst, Budget(0.001, 1e-9)) in (0.0, 0.001)
        assert Ledger.in_memory(PROMISE, ROW).affordable(mst, PROMISE) == 3.0

    def test_all_admitted_runs_together_keep_the_promise(self) -> None:
        """The filter against another accountant: the joint privacy-loss distribution of everything admitted."""
        account, admitted = filled_up()
        together = accounting.certify(admitted, PROMISE.delta)
        assert account.spent().epsilon <= PROMISE.epsilon
        assert 2.7 < together.epsilon <= PROMISE.epsilon

    def test_a_weight_too_small_is_caught(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The planted lie: runs that weigh 5 % less than they do. The joint distribution shows it."""
        honest = accounting.dominating_gaussian
        ledger_filter._dominating.cache_clear()
        monkeypatch.setattr(accounting, "dominating_gaussian", lambda *run: 0.95 * honest(*run))
        _, admitted = filled_up()
        ledger_filter._dominating.cache_clear()
        assert accounting.certify(admitted, PROMISE.delta).epsilon > PROMISE.epsilon

    @settings(max_examples=60, deadline=None)
    @given(parts=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=30))
    def test_any_sequence_of_runs(self, parts: list[float]) -> None:
        """Admitted is exactly what still fits by rational arithmetic, whatever was asked and refused before."""
        account = Ledger.in_memory(PROMISE, ROW)
        whole = Fraction(Filter(PROMISE, PROMISE.delta * 0.1).mu) ** 2
        used = Fraction(0)
        for part in parts:
            fits = used + Fraction(part) ** 2 <= whole
            assert account.fits([GdpGrant(part)]) is fits
            if fits:
                account.reserve("part", [Charge("loop", GdpGrant(part))], PROMISE)
                used += Fraction(part) ** 2
        assert Fraction(account.room()) ** 2 <= whole - used
        assert account.spent().epsilon <= PROMISE.epsilon

    def test_sums_are_exact(self) -> None:
        """Sixteen quarters fill the promise to the last bit, and one more bit does not fit."""
        gate = Filter(PROMISE, 1e-10)
        quarter = GdpGrant(gate.mu / 4)
        spent = [Spending(n, (quarter,), 0.0) for n in range(15)]
        weight = gate.weigh([quarter])
        assert weight.mu == quarter.mu
        above = GdpGrant(quarter.mu * (1 + 2**-50))
        assert not gate.admits(spent, [above], type(weight)(above.mu, 0.0))
        assert gate.admits(spent, [quarter], type(weight)(quarter.mu, 0.0))

    def test_both_bounds_hold(self) -> None:
        """A run without any Gaussian part still uses up the share of delta for failures."""
        account = Ledger.in_memory(PROMISE, ROW)
        discovery = [Charge("v", PartitionSelection(DiscreteGaussian(200.0, 1), 3e-11))]
        for _ in range(3):
            account.reserve("discover", discovery, Budget(1.0, 1e-9))
        with pytest.raises(BudgetError) as refused:
            account.reserve("discover", discovery, Budget(1.0, 1e-9))
        assert code(refused) == "B210"
        assert "additive delta" in str(refused.value)

    def test_a_plan_that_nothing_dominates(self) -> None:
        account = Ledger.in_memory(PROMISE, ROW)
        wild = [Charge("a", DiscreteGaussian(0.3, 1, 30))]
        with pytest.raises(BudgetError):
            account.reserve("wild", wild, Budget(100.0, 1e-9))
        assert account.spent().mu == 0.0

    def test_totals_follow_events_not_stored_numbers(self, ledger: Ledger) -> None:
        ledger.reserve("a", calibrated(marginals, 1.0), Budget(1.0, 1e-9)).commit()
        for entry in ledger.entries[1:]:
            assert not {"epsilon_spent", "mu", "spent", "total"} & set(entry.body)

    @pytest.mark.parametrize(("value", "short"), [(0.9999, 0.99), (1.0, 1.0), (12.39, 12.0), (0.0, 0.0)])
    def test_rounding_down(self, value: float, short: float) -> None:
        assert round_down(value) == pytest.approx(short)
        assert round_down(value) <= value


def filled_up() -> tuple[Ledger, list[Event]]:
    """Runs of all kinds, one after the other, until none fits any more."""
    account = Ledger.in_memory(PROMISE, ROW)
    admitted: list[Event] = []
    kinds: list[list[Event]] = [
        [DpSgd(0.05, 9.0, 2000)],
        *([charge.event for charge in calibrated(plan, 1.0)] for plan in (mst, discovering, aim)),
        *([DiscreteGaussian(sigma, 1)] for sigma in (4.0, 8.0, 16.0, 32.0, 64.0)),
    ]
    for run in kinds:
        while account.fits(run) and sum(event in run for event in admitted) < 5:
            account.reserve("run", [Charge("step", event) for event in run], PROMISE)
            admitted += run
    return account, admitted


class TestRun:
    PLAN = (Charge("count", DiscreteGaussian(20.0, 1)), Charge("choose", BoundedRange(0.1)))

    def test_exactly_the_plan(self) -> None:
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", self.PLAN, PROMISE)
        for charge in self.PLAN:
            run.charge(charge.purpose, charge.event)
        assert run.outstanding == ()
        run.commit()
        assert run.outcome == "complete"

    @pytest.mark.parametrize(
        "made",
        [
            [("choose", BoundedRange(0.1))],
            [("count", DiscreteGaussian(19.0, 1))],
            [("count", DiscreteGaussian(20.0, 1, 2))],
            [("count", DiscreteGaussian(20.0, 2))],
            [("other", DiscreteGaussian(20.0, 1))],
            [("count", Composed((DiscreteGaussian(20.0, 1),)))],
            [("count", DiscreteGaussian(20.0, 1)), ("count", DiscreteGaussian(20.0, 1))],
            [
                ("count", DiscreteGaussian(20.0, 1)),
                ("choose", BoundedRange(0.1)),
                ("choose", BoundedRange(0.1)),
            ],
        ],
    )
    def test_a_skipped_changed_or_added_charge_is_refused(self, made: list[tuple[str, Event]]) -> None:
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", self.PLAN, PROMISE)
        for purpose, event in made[:-1]:
            run.charge(purpose, event)
        with pytest.raises(BudgetError) as refused:
            run.charge(*made[-1])
        assert code(refused) == "B213"

    def test_the_end(self, ledger: Ledger) -> None:
        run = ledger.reserve("r", self.PLAN, PROMISE)
        spent = ledger.spent()
        run.charge("count", DiscreteGaussian(20.0, 1))
        run.commit()
        assert run.outcome == "incomplete"
        for use in (run.commit, lambda: run.charge("choose", BoundedRange(0.1)), lambda: run.grant("x")):
            with pytest.raises(BudgetError) as refused:
                use()
            assert code(refused) == "B214"
        assert ledger.spent() == spent
        assert "ended early" in ledger.lines()[1].state

    def test_failure_and_crash_stay_spent(self, ledger: Ledger, path: Path) -> None:
        with pytest.raises(ZeroDivisionError), ledger.reserve("failing", self.PLAN, PROMISE):
            raise ZeroDivisionError
        ledger.reserve("crashing", self.PLAN, PROMISE)
        states = [line.state for line in Ledger.load(path).lines() if line.kind == "reserve"]
        assert "failed" in states[0]
        assert "crashed" in states[1]
        weights = Filter(PROMISE, 1e-10).weigh([charge.event for charge in self.PLAN])
        assert ledger.spent().mu == pytest.approx(2**0.5 * weights.mu)

    def test_a_plan_must_keep_the_run_s_own_promise(self, ledger: Ledger) -> None:
        with pytest.raises(BudgetError) as refused:
            ledger.reserve("r", calibrated(marginals, 1.1), Budget(1.0, 1e-9))
        assert code(refused) == "B211"
        with pytest.raises(BudgetError) as refused:
            ledger.reserve("r", [], Budget(1.0, 1e-9))
        assert code(refused) == "B212"
        assert len(ledger.entries) == 1

    def test_units(self, tmp_path: Path) -> None:
        ledger = Ledger.open(tmp_path / "l", dataset="d", promise=PROMISE, unit=Unit("person", "id", 5))
        run = ledger.reserve("visits", self.PLAN, PROMISE, unit=Unit("person", "patient", 20))
        assert run.receipt().unit == Unit("person", "patient", 20)
        with pytest.raises(BudgetError) as refused:
            ledger.reserve("rows", self.PLAN, PROMISE, unit=ROW)
        assert code(refused) == "B208"

    def test_a_forked_copy_cannot_spend(self, ledger: Ledger) -> None:
        run = ledger.reserve("r", self.PLAN, PROMISE)
        child = os.fork()
        if child == 0:
            try:
                run.charge("count", DiscreteGaussian(20.0, 1))
            except BudgetError as error:
                os._exit(15 if error.code == "DPS-B215" else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 15
        run.charge("count", DiscreteGaussian(20.0, 1))

    def test_a_fork_inside_the_block_does_not_end_the_run(self, ledger: Ledger) -> None:
        with ledger.reserve("r", self.PLAN, PROMISE) as run:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    run.__exit__(None, None, None)
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            for charge in self.PLAN:
                run.charge(charge.purpose, charge.event)
        assert [entry.kind for entry in ledger.entries] == ["open", "reserve", "commit"]
        assert run.outcome == "complete"

    def test_seeded_noise_taints(self, ledger: Ledger) -> None:
        run = ledger.reserve("r", self.PLAN, PROMISE)
        assert run.receipt().releasable
        run.taint()
        run.commit()
        assert run.receipt().seeded
        assert not run.receipt().releasable
        assert ledger.entries[-1].body["seeded"] is True


class TestGrant:
    def test_a_zcdp_grant_is_a_filter(self) -> None:
        plan = [Charge("loop", ZcdpGrant(0.01)), Charge("end", DiscreteGaussian(50.0, 1))]
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", plan, PROMISE)
        grant = run.grant("loop")
        step = DiscreteGaussian(10.0, 1)
        grant.charge("a", step)
        with pytest.raises(BudgetError) as refused:
            grant.charge("b", DiscreteGaussian(9.99, 1))
        assert code(refused) == "B216"
        assert grant.fits(step)
        grant.charge("b", step)
        assert grant.remaining < 1e-17
        with pytest.raises(BudgetError):
            grant.charge("c", DiscreteGaussian(1e6, 1))
        run.charge("end", DiscreteGaussian(50.0, 1))

    def test_a_gaussian_grant_is_a_filter(self) -> None:
        step = DiscreteGaussian(10.0, 1)
        mu = accounting.dominating_gaussian([step], 0.0)
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", [Charge("loop", GdpGrant(3.01 * mu))], PROMISE)
        grant = run.grant("loop")
        for _ in range(9):
            grant.charge("a", step)
        with pytest.raises(BudgetError) as refused:
            grant.charge("a", step)
        assert code(refused) == "B216"

    @pytest.mark.parametrize("steps", range(1, 60))
    def test_a_grant_holds_the_steps_it_was_planned_from(self, steps: int) -> None:
        choice = BoundedRange(0.01 * steps**-0.5)
        event = Composed((choice, DiscreteGaussian(37.7 * steps**0.5, 1, 3)))
        mu = math.sqrt(steps) * filters.gdp_mu([event])
        rho = steps * filters.zcdp_rho([event]) * (1 + 1e-15)
        grants = [
            Grant("gdp", GdpGrant(mu)),
            Grant("zcdp", ZcdpGrant(rho)),
        ]
        for grant in grants:
            for _ in range(steps):
                grant.charge("step", event)
            with pytest.raises(BudgetError):
                grant.charge("one more", event)

    def test_no_grant_in_a_grant(self) -> None:
        for event in (GdpGrant(0.01), ZcdpGrant(0.0001), Composed((GdpGrant(0.01),))):
            with pytest.raises(BudgetError) as refused:
                Grant("g", GdpGrant(1.0)).charge("inner", event)
            assert code(refused) == "B219"

    @pytest.mark.parametrize("limit", [ZcdpGrant(0.0141), GdpGrant(0.19)], ids=["zcdp", "gdp"])
    @pytest.mark.parametrize(
        ("twice", "thrice"),
        [
            (DiscreteGaussian(8.5, 1, 2), DiscreteGaussian(8.5, 1, 3)),
            (BoundedRange(0.21, 2), BoundedRange(0.21, 3)),
        ],
        ids=["gaussian", "choice"],
    )
    def test_an_ignored_repetition_would_be_seen(
        self, limit: ZcdpGrant | GdpGrant, twice: Event, thrice: Event
    ) -> None:
        with pytest.raises(BudgetError) as refused:
            Grant("loop", limit).charge("a", thrice)
        assert code(refused) == "B216"
        Grant("loop", limit).charge("a", twice)

    def test_a_grant_ends_with_its_stage(self) -> None:
        plan = [Charge("loop", ZcdpGrant(0.01)), Charge("end", DiscreteGaussian(50.0, 1))]
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", plan, PROMISE)
        grant = run.grant("loop")
        run.charge("end", DiscreteGaussian(50.0, 1))
        with pytest.raises(BudgetError) as refused:
            grant.charge("late", DiscreteGaussian(100.0, 1))
        assert code(refused) == "B214"

    def test_grants_are_planned(self) -> None:
        plan = [Charge("loop", ZcdpGrant(0.01)), Charge("end", DiscreteGaussian(50.0, 1))]
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", plan, PROMISE)
        for use, expected in [
            (lambda: run.grant("other"), "B213"),
            (lambda: run.charge("loop", ZcdpGrant(0.01)), "B217"),
            (lambda: run.charge("end", DiscreteGaussian(50.0, 1)), "B213"),
        ]:
            with pytest.raises(BudgetError) as refused:
                use()
            assert code(refused) == expected
        run.grant("loop")
        with pytest.raises(BudgetError) as refused:
            run.grant("end")
        assert code(refused) == "B217"

    def test_what_the_filter_cannot_price(self) -> None:
        run = Ledger.in_memory(PROMISE, ROW).reserve("r", [Charge("loop", ZcdpGrant(0.01))], PROMISE)
        grant = run.grant("loop")
        with pytest.raises(BudgetError) as refused:
            grant.charge("sgd", DpSgd(0.01, 5.0, 10))
        assert code(refused) == "B306"
        assert grant.fits(DiscreteGaussian(8.0, 1))


class TestOthers:
    def test_another_tool_s_release(self, ledger: Ledger) -> None:
        ledger.charge_external("map of 2025", 0.5, 1e-12, tool="census toolkit")
        assert 0.0 < ledger.spent().epsilon <= 0.5
        with pytest.raises(BudgetError) as refused:
            ledger.charge_external("map of 2026", 3.0, 1e-12, tool="census toolkit")
        assert code(refused) == "B210"
        assert ledger.notices() == ()
        ledger.charge_external("map of 2026", 3.0, 1e-12, tool="census toolkit", already_out=True)
        assert [notice.kind for notice in ledger.notices()] == ["overspent"]
        assert ledger.spent().epsilon > 3.0
        with pytest.raises(BudgetError):
            ledger.reserve("r", calibrated(marginals, 0.01), Budget(0.01, 1e-9))
        assert "census toolkit" in ledger.lines()[1].what

    def test_a_release_with_more_delta_than_was_promised(self, ledger: Ledger) -> None:
        ledger.charge_external("first", 0.1, 1e-12, tool="t")
        ledger.charge_external("leaky", 0.1, 1e-5, tool="t", already_out=True)
        assert ledger.spent().epsilon == float("inf")
        assert json.loads(json.dumps(ledger.export(), allow_nan=False))["spent"]["epsilon"] is None
        assert ledger.remaining().epsilon == 0.0

    @pytest.mark.parametrize("epsilon", [1e-6, 13.0, 50.0, 99.0, 1000.0])
    def test_any_release_can_be_entered_as_a_fact(self, ledger: Ledger, epsilon: float) -> None:
        """However little it protected: the account stays true, and adds up after that."""
        ledger.charge_external("old map", epsilon, 1e-12, tool="t", already_out=True)
        ledger.charge_external("new map", epsilon, 1e-12, tool="t", already_out=True)
        assert (ledger.remaining().epsilon == 0.0) is (epsilon > 3)
        assert len(ledger.lines()) == 3
        json.dumps(ledger.export(), allow_nan=False)

    def test_audits_and_blocks(self, ledger: Ledger, path: Path) -> None:
        rows = "ab" * 32
        ledger.record_audit("model-1", "NO EVIDENCE FROM THESE ATTACKS", 1, [rows])
        ledger.record_audit("model-2", "VIOLATION", 1, [rows])
        ledger.block("model-3", "the owner withdrew consent")
        ledger.block("model-3", "another reason")
        other = Ledger.load(path)
        assert other.blocked("model-1") is None
        assert "violation" in str(other.blocked("model-2"))
        assert other.blocked("model-3") == "the owner withdrew consent"
        (audit,) = other.audits("model-1")
        assert (audit.samples, audit.rows_sha256, audit.findings_sha256) == (1, (rows,), None)
        ledger.record_audit("model-4", "LEAK", 1, [rows], "cd" * 32)
        assert [found.findings_sha256 for found in Ledger.load(path).audits("model-4")] == ["cd" * 32]
        assert other.spent().mu == 0.0
        for bad in (0, True):
            with pytest.raises(ValueError):
                ledger.record_audit("m", "v", bad)
        with pytest.raises(ValueError):
            ledger.record_audit("m", "v", 1, ["no hash"])
        with pytest.raises(ValueError):
            ledger.record_audit("m", "v", 1, [rows], "no hash")

    def test_a_block_by_another_process_is_seen(self, ledger: Ledger, path: Path) -> None:
        Ledger.load(path).block("m", "why")
        assert ledger.blocked("m") == "why"

    def test_releases_and_withdrawals(self, ledger: Ledger) -> None:
        ledger.record_release("m", "bundle-1")
        ledger.record_withdrawal("bundle-1", "wrong contact")
        assert [line.kind for line in ledger.lines()] == ["open", "release", "withdraw"]

    def test_export(self, ledger: Ledger) -> None:
        ledger.reserve("r", calibrated(marginals, 1.0), Budget(1.0, 1e-9), fingerprint=b"source").commit()
        document = json.loads(json.dumps(ledger.export(), allow_nan=False))
        assert document["head"] == ledger.head
        assert [entry["kind"] for entry in document["entries"]] == ["open", "reserve", "commit"]
        assert ledger._journal.key().hex() not in json.dumps(document)

    def test_lines_read_like_sentences(self, ledger: Ledger) -> None:
        plan = calibrated(marginals, 1.0)
        with ledger.reserve("age and sex", plan, Budget(1.0, 1e-9)) as account:
            account.charge(plan[0].purpose, plan[0].event)
        first, run, end = ledger.lines()
        assert "promised: epsilon 3, delta 1e-09 for one row" in first.state
        assert run.what == "age and sex"
        assert "epsilon 1 at delta 1e-09 by itself; complete" in run.state
        assert end.state == "complete, 1 charges made"


class TestNotices:
    PLAN = (Charge("count", DiscreteGaussian(50.0, 1)),)

    def test_new_data_under_the_same_name(self, ledger: Ledger) -> None:
        assert ledger.reserve("a", self.PLAN, PROMISE, fingerprint=b"march").notices == ()
        assert ledger.reserve("b", self.PLAN, PROMISE, fingerprint=b"march").notices == ()
        (notice,) = ledger.reserve("c", self.PLAN, PROMISE, fingerprint=b"april").notices
        assert notice.kind == "new data"
        assert "'people'" in notice.text
        assert [n.kind for n in ledger.notices()] == ["new data"]

    def test_the_same_data_under_another_name(self, ledger: Ledger, tmp_path: Path) -> None:
        (tmp_path / "junk.ledger").write_bytes(b"not a ledger")
        ledger.reserve("a", self.PLAN, PROMISE, fingerprint=b"march")
        second = Ledger.open(tmp_path / "fresh.ledger", dataset="people-v2", promise=PROMISE)
        (notice,) = second.reserve("b", self.PLAN, PROMISE, fingerprint=b"march").notices
        assert notice.kind == "same data"
        assert "'people' in people.ledger" in notice.text
        assert second.reserve("c", self.PLAN, PROMISE, fingerprint=b"april").notices[0].kind == "new data"

    def test_a_fingerprint_confirms_no_guess(self, ledger: Ledger, tmp_path: Path) -> None:
        second = Ledger.open(tmp_path / "other" / ".." / "b.ledger", dataset="b", promise=PROMISE)
        for account in (ledger, second):
            account.reserve("a", self.PLAN, PROMISE, fingerprint=b"march")
        stored = [account.entries[1].body["fingerprint"] for account in (ledger, second)]
        assert stored[0] != stored[1]
        assert all(len(value) == 64 for value in stored)


def test_external_events_price_their_delta() -> None:
    gate = Filter(PROMISE, 1e-10)
    assert gate.weigh([External(0.5, 2e-11)]).d0 > 2e-11
