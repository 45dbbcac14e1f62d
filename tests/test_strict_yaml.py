"""Only plain data, nothing guessed, every failure with its line."""

from __future__ import annotations

import time

import pytest

from dpsynth.errors import SchemaError
from dpsynth.strict_yaml import MAX_BYTES, describe, dumps, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("007", "007"),
        ("2015-01-01", "2015-01-01"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1e-9", 1e-9),
        ("1.0e-9", 1e-9),
        ("-3", -3),
        ("0", 0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("'12'", "12"),
        ("None", "None"),
        ("NA", "NA"),
    ],
)
def test_reads_what_is_written(text: str, value: object) -> None:
    data, _ = loads(f"key: {text}")
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_every_entry_has_its_line() -> None:
    _, lines = loads("a: 1\nb:\n  c: [x,\n      y]\n")
    assert lines[("a",)] == 1
    assert lines[("b", "c")] == 3
    assert lines[("b", "c", 1)] == 4


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("a: [1", "S102", "line 2"),
        ("a: 1\n\tb: 2", "S102", "line 2"),
        ("a: 1\na: 2", "S104", "first on line 1"),
        ("a: !!python/object/apply:os.system ['x']", "S105", "line 1"),
        ("a: !mine 3", "S105", "line 1"),
        ("? [a, b]\n: 1", "S102", "key"),
        ("a: *nowhere", "S102", "line 1"),
        ("a: &x [*x]", "S102", "line 1"),
        ("[" * 2000, "S103", "nested"),
        ("a: 1\n---\nb: 2", "S102", "YAML"),
        ("a: \x07", "S102", "YAML"),
        ("x" * (MAX_BYTES + 1), "S103", "MB"),
    ],
)
def test_refuses(text: str, code: str, word: str) -> None:
    with pytest.raises(SchemaError) as caught:
        loads(text)
    assert caught.value.code == f"DPS-{code}"
    assert word in str(caught.value)


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    start = time.process_time()
    with pytest.raises(SchemaError, match="entries") as caught:
        loads("\n".join(levels))
    assert caught.value.code == "DPS-S103"
    assert time.process_time() - start < 2


def test_a_small_alias_is_welcome() -> None:
    data, _ = loads("a: &v [x, y]\nb: *v")
    assert data == {"a": ["x", "y"], "b": ["x", "y"]}


@pytest.mark.parametrize(
    "text", ["yes", "1e5", "007", "12", "2015-01-01", "true", "null", "", "~", "a: b", "- x", "#x", "é"]
)
def test_texts_survive_the_way_out_and_in(text: str) -> None:
    assert loads(dumps({"key": text, "list": [text]}))[0] == {"key": text, "list": [text]}


def test_a_path_in_words() -> None:
    assert describe(("columns", "age", "edges", 2)) == "columns.age.edges[2]"
