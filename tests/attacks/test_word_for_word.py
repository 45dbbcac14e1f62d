"""Rows that stand in two tables are counted whatever the verdict rests on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import attacks
from attacks.result import INCONCLUSIVE
from dpsynth.schema import Schema

SCHEMA = Schema(columns={"amount": {"type": "number", "min": 0, "max": 1, "decimals": 6, "cells": 4}})


def frame(start: int, rows: int) -> pd.DataFrame:
    """Values of its own: no two tables share one unless they are given the same rows."""
    return pd.DataFrame({"amount": (np.arange(start, start + rows)) / 1e6})


def test_shares_of_a_table_with_a_quarter_of_the_training_rows() -> None:
    members, controls = frame(0, 400), frame(1000, 200)
    synthetic = pd.concat([members[:100], controls[:50], frame(5000, 50)], ignore_index=True)
    found = attacks.run_suite(synthetic, members, controls, SCHEMA, None)
    counted = found.word_for_word
    assert counted is not None
    assert counted.as_json() == {
        "synthetic_rows_that_are_members": pytest.approx(0.5),
        "members_in_the_table": pytest.approx(0.25),
        "held_out_in_the_table": pytest.approx(0.25),
    }
    assert found.as_json()["word_for_word"] == counted.as_json()
    assert "word for word: 50 % of the synthetic rows are rows of the training data" in str(found)


def test_same_cells_are_no_same_rows() -> None:
    """All values of these tables fall into one cell; none of them is equal."""
    found = attacks.run_suite(frame(3000, 100), frame(0, 200), frame(1000, 200), SCHEMA, None)
    assert found.word_for_word is not None
    assert found.word_for_word.synthetic == 0.0


def test_it_is_said_where_nothing_can_be_concluded() -> None:
    found = attacks.run_suite(frame(0, 300), frame(0, 300), None, SCHEMA, None)
    assert found.verdict == INCONCLUSIVE
    assert "100 % of the synthetic rows are rows of the training data" in str(found)
    assert "no rows were held out to compare with" in str(found)
