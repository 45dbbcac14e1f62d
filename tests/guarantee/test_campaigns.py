"""Campaigns of many fits: journals, workers, stopping, own methods, anybody's command."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attacks.guarantee.campaign import Campaign, Claim, run_campaign
from attacks.guarantee.command import Command, OnPair
from attacks.guarantee.many_fits import Looks
from attacks.guarantee.pairs import pairs, scores
from dpsynth.budget import Budget
from dpsynth.errors import AuditError, UsageError
from dpsynth.guarantee.fits import KNOWN, OwnTrial
from dpsynth.privacy import noise

CLAIM = Claim(1.0, 1e-6, 0.25)
LOOKS = Looks((100, 200, 400), 0.99)
COPY = "import shutil,sys; shutil.copy(sys.argv[1], sys.argv[2])"


def tells_all(with_unit: bool) -> Mapping[str, float]:
    return {"unit": float(with_unit)}


def tells_nothing(with_unit: bool) -> Mapping[str, float]:
    return {"unit": float(np.random.default_rng().normal())}


def test_a_campaign_stops_at_the_look_that_convicts() -> None:
    found = run_campaign("leak", tells_all, CLAIM, LOOKS)
    assert found.violated
    assert found.trials == 100
    assert "VIOLATION" in str(found)
    assert json.loads(json.dumps(found.as_json()))["fits_planned"] == 400


def test_an_honest_generator_goes_to_the_end() -> None:
    found = run_campaign("honest", tells_nothing, Claim(1.0, 1e-6), Looks((100, 300), 1 - 1e-6))
    assert not found.violated
    assert found.trials == 300


def test_two_processes_draw_noise_of_their_own() -> None:
    found = run_campaign("leak", tells_all, CLAIM, Looks((120,), 0.99), workers=2)
    assert found.violated


class Breaks:
    """Fails at the n-th fit."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.asked: list[bool] = []

    def __call__(self, with_unit: bool) -> Mapping[str, float]:
        if not self.left:
            raise OSError("power cut")
        self.left -= 1
        self.asked.append(with_unit)
        return {"unit": float(with_unit), "never": float("nan")}


def test_an_interrupted_campaign_goes_on_with_the_same_coins(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    looks = Looks((96,), 0.99)
    first = Breaks(40)
    with pytest.raises(OSError, match="power"):
        run_campaign("broken", first, CLAIM, looks, journal=journal, seed=5)
    with journal.open("a") as out:
        out.write('{"unit": 1')  # torn
    second = Breaks(1000)
    found = run_campaign("broken", second, CLAIM, looks, journal=journal)
    kept = len(journal.read_text().splitlines()) - 1
    assert kept == found.trials == 96
    coins = (np.random.default_rng(5).random(96) < 0.5).tolist()
    assert second.asked == coins[96 - len(second.asked) :]
    assert len(second.asked) < 96
    again = run_campaign("broken", Breaks(0), CLAIM, looks, journal=journal)
    assert again == found


def test_the_journal_of_another_campaign_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    run_campaign("one", tells_all, CLAIM, LOOKS, journal=journal)
    for other in (Claim(2.0, 1e-6), CLAIM):
        name = "one" if other != CLAIM else "two"
        with pytest.raises(UsageError) as caught:
            run_campaign(name, tells_all, other, LOOKS, journal=journal)
        assert caught.value.code == "DPS-U270"


# --- anybody's generator -----------------------------------------------------------------------------


def written(words: str) -> Command:
    return Command.of(f"{sys.executable} -c '{words}' {{input}} {{output}}")


def test_a_command_reads_and_writes_csv() -> None:
    pair = pairs()["alone"]
    trial = OnPair(written(COPY), pair)
    without, joined = trial(False), trial(True)
    assert joined["rows"] == without["rows"] + 1
    assert (without["the unit's row"], joined["the unit's row"]) == (0, 1)


@pytest.mark.parametrize("line", ["program", "program {input}", "program '{input} {output}"])
def test_a_command_says_where_its_tables_go(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        Command.of(line)
    assert caught.value.code == "DPS-U271"


@pytest.mark.parametrize("words", ["import sys; sys.exit(3)", "pass"])
def test_a_command_that_fails_is_told(words: str) -> None:
    with pytest.raises(AuditError, match="command failed"):
        written(words)(pairs()["alone"].base)


@pytest.mark.parametrize("name", pairs())
def test_each_pair_gives_its_unit_away_to_a_copy(name: str) -> None:
    """A generator that copies the table is convicted on each; one that writes noise on none."""
    pair = pairs()[name]
    copies = {with_unit: scores(pair.table(with_unit), pair) for with_unit in (False, True)}

    def made_up(with_unit: bool) -> Mapping[str, float]:
        rows = pair.base.sample(50, replace=True, random_state=np.random.default_rng().integers(2**31))
        return scores(rows, pair)

    assert run_campaign(name, copies.__getitem__, CLAIM, Looks((90,), 0.99)).violated
    assert not run_campaign(name, made_up, Claim(1.0, 1e-6), Looks((30,), 1 - 1e-6)).violated


def test_numbers_are_alike_however_they_are_written() -> None:
    pair = pairs()["alone"]
    table = pd.DataFrame({"kind": ["b"], "group": ["y"], "amount": ["9.0"]})
    assert scores(table, pair)["the unit's row"] == 1


# --- our own methods ---------------------------------------------------------------------------------


def own(budget: Budget, fits: int, confidence: float) -> Campaign:
    trial = OwnTrial("independent", budget)
    return run_campaign("independent", trial, trial.claim, Looks((fits,), confidence), known=KNOWN)


def test_many_fits_of_the_honest_code() -> None:
    assert not own(Budget(4.0, 1e-5), 80, 1 - 1e-6).violated


def test_many_fits_refute_half_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = noise.discrete_gaussian
    monkeypatch.setattr(noise, "discrete_gaussian", lambda s, shape, stream: honest(s / 4, shape, stream))
    found = own(Budget(4.0, 1e-5), 160, 0.99)
    assert found.violated
    assert found.found.mu > (found.claim.mu or 0)
