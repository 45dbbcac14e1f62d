"""Inference, linking and singling out: by hand on small tables, and minus what held-out people yield."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import known_leaks
import numpy as np
import pytest
from attacked_files import SCHEMA, Files

import attacks
from attacks import LEAK, NO_EVIDENCE, VIOLATION, Asked, Holds, Wants
from attacks.asked import default_attacks, resolved
from attacks.disclosure import InferByLearning, InferByNearest, Linkability, SinglingOut
from attacks.disclosure.parts import Classes
from attacks.stats import difference, wilson
from attacks.suite import examine, with_bounds
from attacks.threat import Candidates, Claim, Game, Rows, View, concatenate
from dpsynth.domain import Domain
from dpsynth.errors import AuditError
from dpsynth.records import Records

Make = Callable[..., Files]
ORDERED = np.array([True, False, False, True])
NAMES = ("a", "b", "c", "d")


def rows(n: int, seed: int, cells: int = 4) -> Rows:
    rng = np.random.default_rng(seed)
    domain = Domain.from_sizes(dict.fromkeys(NAMES, cells))
    return Rows.of_records(Records.of(domain, {name: rng.integers(0, cells, n) for name in NAMES}), ORDERED)


def view(units: int = 40, synthetic: int = 60, per_unit: int = 1, seed: int = 0) -> View:
    candidates = Candidates(rows(units * per_unit, seed), np.repeat(np.arange(units), per_unit), ORDERED)
    return View(rows(synthetic, seed + 1), candidates, 0.5)


def gaps(left: Rows, right: Rows, columns: list[int]) -> np.ndarray:
    """Distances by hand, shape (left, right)."""
    apart = np.abs(left.fine[:, None].astype(int) - right.fine[None].astype(int))
    apart = np.where(ORDERED, apart, 255 * (apart > 0))
    return apart[:, :, columns].sum(axis=2)


@pytest.mark.parametrize("per_unit", [1, 2])
def test_the_nearest_row_gives_the_secret(per_unit: int) -> None:
    game = view(per_unit=per_unit)
    found = InferByNearest("b", ("a", "d"))(game, np.random.default_rng(0)) > 0
    distance = gaps(game.candidates.rows, game.synthetic, [0, 3])
    secret, truth = game.synthetic.cells["b"], game.candidates.rows.cells["b"]
    right = np.zeros(len(truth), bool)
    for i, line in enumerate(distance):
        counts = np.bincount(secret, minlength=4)
        tied = np.unique(secret[line == line.min()])
        best = tied[counts[tied] == counts[tied].max()]
        right[i] = len(best) == 1 and best[0] == truth[i]
    assert (found == game.candidates.best(right)).all()
    assert 0 < found.sum() < len(found)


def test_two_parts_are_linked_where_one_row_is_closest_to_both() -> None:
    game = view()
    found = Linkability(("a", "b"), ("c", "d"))(game, np.random.default_rng(0)) > -0.5
    first, second = (gaps(game.candidates.rows, game.synthetic, part) for part in ([0, 1], [2, 3]))
    both = (first == first.min(axis=1, keepdims=True)) & (second == second.min(axis=1, keepdims=True))
    assert (found == both.any(axis=1)).all()
    assert 0 < found.sum() < len(found)


@pytest.mark.parametrize("per_unit", [1, 2])
def test_one_column_singles_out_whom_it_describes_alone(per_unit: int) -> None:
    domain = Domain.from_sizes({"a": 400, "b": 400})
    rng = np.random.default_rng(4)
    real, made = (
        Rows.of_records(
            Records.of(domain, {n: rng.integers(0, 400, 80) for n in "ab"}), np.array([True, False])
        )
        for _ in range(2)
    )
    candidates = Candidates(real, np.repeat(np.arange(80 // per_unit), per_unit), np.array([True, False]))
    found = SinglingOut()(View(made, candidates, 0.5), rng) > 0
    expected = np.zeros(80 // per_unit, bool)
    for name in "ab":
        for cell in np.flatnonzero(np.bincount(made.cells[name]) == 1):
            units = np.unique(candidates.unit[real.cells[name] == cell])
            if len(units) == 1:
                expected[units[0]] = True
    assert (found == expected).all()
    assert 0 < found.sum() < len(found)


def test_several_columns_single_out_copied_rows() -> None:
    real, other = rows(200, 5, cells=30), rows(200, 6, cells=30)
    candidates = Candidates(real, np.arange(200), ORDERED)
    copied = View(concatenate([real.take(np.arange(100)), other]), candidates, 0.5)
    attack = SinglingOut("several", several=True)
    scores = attack(copied, np.random.default_rng(0))
    assert scores[:100].mean() > 3 * scores[100:].mean()
    assert (scores >= 0).all()


@pytest.mark.parametrize(
    "attack", [InferByNearest("b", ("a", "d")), Linkability(("a",), ("b", "c", "d"))], ids=["infer", "link"]
)
def test_added_rows_give_what_the_whole_table_gives(attack: attacks.Attack) -> None:
    """The controls add rows to a table: distances to the table itself are not computed twice."""
    before, added = view(), rows(30, 9)
    rng = np.random.default_rng(0)
    attack(before, rng)
    grown = Game(before, np.arange(40) < 20, None).with_rows(added)
    whole = View(concatenate([before.synthetic, added]), before.candidates, 0.5)
    assert (attack(grown.view, rng) == attack(whole, rng)).all()
    assert (attack(grown.view.few(15), rng) == attack(whole, rng)[:15]).all()


def test_secrets_of_many_cells_are_guessed_in_ranges() -> None:
    domain = Domain.from_sizes({"a": 1000, "b": 1000})
    rng = np.random.default_rng(2)
    real = Rows.of_records(
        Records.of(domain, {n: np.minimum(rng.geometric(0.01, 5000), 999) for n in "ab"}),
        np.array([True, False]),
    )
    game = View(real, Candidates(real, np.arange(5000), np.array([True, False])), 0.5)
    for column in (0, 1):
        classes = Classes.at(game, column)
        assert classes.count == 32
        assert classes.of.shape == (1000,)
    equal = np.bincount(Classes.at(game, 0)(real))
    assert (np.diff(Classes.at(game, 0).of) >= 0).all()
    assert equal.max() < 2 * 5000 / 32


def test_wilson_and_newcombe_by_their_published_example() -> None:
    """56/70 against 48/80: Newcombe (1998), table II, line a, method 10."""
    found = difference(wilson(56, 70), wilson(48, 80))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert found.value == pytest.approx(0.2)


def test_what_was_asked_decides_the_set() -> None:
    game = view()
    names = [attack.name for attack in default_attacks(game)]
    assert "single out by several columns" in names
    assert not any("infer" in name or "link" in name for name in names)
    asked = Asked(("b",), ("a", "d"))
    more = {attack.name: attack for attack in default_attacks(game, asked)}
    assert [name for name in more if name in names] == names
    assert more["infer b, learning"].threat.wants == Wants.ATTRIBUTE
    assert "knows the target's a, d and guesses 'b'" in more["infer b, nearest row"].threat.words
    assert more["link two sources"].threat.wants == Wants.LINKAGE
    unlimited = {attack.name: attack for attack in default_attacks(game, Asked(("b",)))}
    assert "a, c, d" in unlimited["infer b, nearest row"].threat.words
    assert "link two sources" not in unlimited
    for bad in (Asked(("x",)), Asked((), ("x",)), Asked((), (), ("x",))):
        with pytest.raises(AuditError) as caught:
            bad.check(NAMES)
        assert caught.value.code == "DPS-A109"
    for unknown, code in ((["no such attack"], "A110"), (["default", "default"], "A107")):
        with pytest.raises(AuditError) as caught:
            resolved(unknown, game, Asked())
        assert caught.value.code == f"DPS-{code}"


def test_fresh_rows_teach_about_people_but_about_nobody(files: Make) -> None:
    case = files(700, 700, seed=3)
    result = case.run(case.reference, secrets=["c0"], quasi_identifiers=["c1", "c2", "c3"], must_see=0.1)
    guesses = {a.name: a for a in result.attacks if a.success and a.group == "everyone"}
    learnt = guesses["infer c0, learning"].success
    assert learnt is not None
    assert learnt.controls.value > 0.2  # 1 in 8 by guessing blindly
    assert learnt.excess.low < 0 < learnt.excess.high
    assert learnt.allowed is not None
    assert 0 < learnt.allowed < 0.5
    assert result.verdict == NO_EVIDENCE, str(result)
    assert "right guesses" in str(result)


def test_a_copy_gives_secrets_away(files: Make) -> None:
    case = files(1000, 1000, seed=4)
    game = replace(_game(case, case.members), claim=Claim(1.0, 1e-9))
    asked = Asked(("c0",), tuple(f"c{i}" for i in range(2, 10)))
    chosen = [
        attack for attack in default_attacks(game.view, asked) if attack.threat.wants != Wants.MEMBERSHIP
    ]
    found = with_bounds(examine(game, chosen, 999, case.rng, lambda step, done: None), game, case.rng)
    everyone = {result.name: result for result in found if result.group == "everyone"}
    for name in ("infer c0, nearest row", "infer c0, learning", "link two sources"):
        result = everyone[name]
        assert result.success is not None
        assert result.success.members.value > 0.9, name
        assert result.success.excess.low > 0.2, name
        assert result.adjusted_p <= 0.05
        assert result.bound is not None
        assert result.bound.epsilon > 1.0, name


def test_a_secret_given_away_breaks_the_promise(files: Make) -> None:
    case = files(600, 600, seed=8)
    inference = InferByNearest("c0", tuple(f"c{i}" for i in range(1, 10)))
    result = case.run(case.members, attacks=[inference], must_see=0.5)
    assert result.verdict == VIOLATION, str(result)
    weak = case.run(case.members, attacks=[inference], claim=(50.0, 1e-9), must_see=0.5)
    assert (weak.verdict, weak.bound) == (LEAK, "within")
    assert "its guess is right for" in weak.headline


def test_a_secret_that_is_copied_with_some_columns_is_a_leak_by_inference(files: Make) -> None:
    """Six columns come from one member each, the others from nobody: rows are not copied, the secret is."""
    case = files(1200, 1200, seed=5)
    own = {name: case.members[name] for name in ("c0", "c1", "c2", "c3", "c4", "c5")}
    rest = known_leaks.independent(case.reference, 1200, case.rng)
    made = Records.of(
        case.members.domain, {name: own.get(name, rest[name]) for name in rest.domain.attributes}
    )
    game = _game(case, made)
    known = ("c1", "c2", "c3", "c4", "c5")
    chosen: tuple[attacks.Attack, ...] = (InferByNearest("c0", known), InferByLearning("c0", known))
    for result in examine(game, chosen, 999, case.rng, lambda step, done: None):
        if result.group == "everyone":
            assert result.adjusted_p <= 0.05
            assert result.success is not None
            assert result.success.excess.low > 0.05
            assert Holds.SYNTHETIC in result.threat.holds


def _game(case: Files, made: Records) -> Game:
    ordered = np.array([SCHEMA.modelled[name].type == "integer" for name in made.domain.attributes])
    pool = concatenate([Rows.of_records(part, ordered) for part in (case.members, case.controls)])
    order = case.rng.permutation(len(pool))
    candidates = Candidates(pool.take(order), np.arange(len(pool)), ordered)
    return Game(View(Rows.of_records(made, ordered), candidates, 0.5), order < len(case.members), None)


def test_few_targets_are_attacked_and_the_table_says_so(files: Make) -> None:
    class Few:
        name, most_targets, right_above = "few", 300, 0.5
        threat = attacks.ThreatModel((Holds.SYNTHETIC,), Wants.ATTRIBUTE, "tosses a coin")

        def __call__(self, view: View, rng: np.random.Generator) -> np.ndarray:
            assert view.candidates.units == 300
            return rng.random(300)

    case = files(600, 600, seed=6)
    results = examine(_game(case, case.reference), [Few()], 199, case.rng, lambda step, done: None)
    everyone = results[0]
    assert (everyone.members + everyone.controls, everyone.scores.shape) == (300, (1200,))
    assert np.isnan(everyone.scores).sum() == 900
    assert everyone.success is not None
    whole = case.run(case.reference, attacks=[Few()], must_see=0.5)
    assert whole.verdict in (attacks.INCONCLUSIVE, LEAK)  # it can see nothing
    assert whole.scores()["few"].notna().sum() == 300
    assert whole.roc()["tpr"].max() == 1.0
