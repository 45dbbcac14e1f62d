"""Damaged models and ledgers: the right result or a clear error, never a traceback, never a private value."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from example import PROJECT, SECRET, small_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from dpsynth.cli.app import app
from dpsynth.model import files
from dpsynth.privacy import ledger_chain, ledger_store

RUNNER = CliRunner()
MODEL_FILES = [files.INDEX, files.FACTS, files.SCHEMA, files.ARRAYS]
LEDGER_FILES = ["claims.ledger", "claims.ledger.head"]
SECONDS = 20.0
many = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def dpsynth(*words: object) -> Result:
    return RUNNER.invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a ledger with a run, an external release and a refused run in its past."""
    folder = tmp_path_factory.mktemp("made")
    small_table(80).to_csv(folder / "claims.csv", index=False)
    (folder / "project.yaml").write_text(PROJECT)
    assert dpsynth("fit", folder / "project.yaml", "-o", folder / "model").exit_code == 0
    told = ("--tool", "other", "--purpose", "a table", "--epsilon", 0.1, "--delta", 1e-9)
    assert dpsynth("ledger", "charge", folder / "claims.ledger", *told).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def good(made: Path) -> tuple[str, str]:
    """What an unharmed model and ledger say."""
    with copied(made) as folder:
        assert sampled(folder)[0].exit_code == 0
        return sampled(folder)[1], dpsynth("ledger", "show", folder / "claims.ledger").stdout


@contextmanager
def copied(made: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(made / "model", Path(folder, "model"))
        for name in LEDGER_FILES:
            shutil.copy(made / name, folder)
        yield Path(folder)


def sampled(folder: Path) -> tuple[Result, str]:
    out = folder / "rows.csv"
    result = dpsynth("sample", folder / "model", "-n", 30, "-o", out, "--seed", 1)
    text = out.read_text() if out.exists() else ""
    out.unlink(missing_ok=True)
    return result, text


def is_clear(result: Result, codes: set[int]) -> bool:
    """Whether it was refused; fails for any error that is not one line with a right exit code."""
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    if result.exit_code == 0:
        assert "DPS-" not in result.stderr
        return False
    assert result.exit_code in codes, result.output
    lines = [line for line in result.stderr.splitlines() if "DPS-" in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("DPS-")
    return True


@st.composite
def damage(pick: st.DrawFn) -> Any:
    """A change of some bytes: flips, a cut, rubbish in the middle, a piece twice, everything else."""
    kind = pick(st.sampled_from(["flip", "flip", "cut", "insert", "repeat", "replace"]))
    places = pick(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
    bits = pick(st.integers(1, 255))
    rubbish = pick(st.binary(max_size=40) | st.just(SECRET.encode()))

    def change(content: bytes) -> bytes:
        first = int(places[0] * len(content))
        match kind:
            case "flip":
                changed = bytearray(content)
                for place in places:
                    changed[int(place * len(content))] ^= bits
                return bytes(changed)
            case "cut":
                return content[:first]
            case "insert":
                return content[:first] + rubbish + content[first:]
            case "repeat":
                return content[:first] + content[first // 2 :]
            case _:
                return rubbish

    return change


def rehash(model: Path) -> None:
    """Make the index vouch for whatever the files are now, as far as they can be read."""
    contents = {name: (model / name).read_bytes() for name in files.FILES}
    index = json.loads((model / files.INDEX).read_text())
    index["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    try:
        stored = files.Stored(
            json.loads(contents[files.FACTS]),
            contents[files.SCHEMA].decode(),
            files._arrays(contents[files.ARRAYS], model),
        )
        index["id"] = files.content_id(stored)
    except Exception:  # damaged beyond an id: the hashes alone must do
        pass
    (model / files.INDEX).write_text(json.dumps(index))


@given(st.sampled_from(MODEL_FILES), damage())
@many
def test_damaged_models(made: Path, good: tuple[str, str], name: str, change: Any) -> None:
    with copied(made) as folder:
        path = folder / "model" / name
        path.write_bytes(change(path.read_bytes()))
        result, rows = sampled(folder)
        if not is_clear(result, {7}):
            assert rows == good[0]


@given(st.sampled_from(MODEL_FILES[1:]), damage())
@many
def test_damaged_models_with_fresh_hashes(made: Path, name: str, change: Any) -> None:
    """A forger who mends the index: his model is refused, or it is a model; it never ends in a traceback."""
    with copied(made) as folder:
        path = folder / "model" / name
        path.write_bytes(change(path.read_bytes()))
        rehash(folder / "model")
        begun = time.process_time()
        result, rows = sampled(folder)
        assert time.process_time() - begun < SECONDS
        if not is_clear(result, {7, 8}):
            assert len(rows.splitlines()) == 31


odd = (
    st.sampled_from([None, True, -1, 0, 1e308, 10**30, "", "x", [], {}, [[]], float("inf"), float("nan")])
    | st.integers(-5, 10**12)
    | st.floats()
)


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything inside a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*where, key)
        yield from places(inner, (*where, key))


def edit(value: Any, where: tuple[Any, ...], how: str, new: Any) -> None:
    for key in where[:-1]:
        value = value[key]
    if how == "drop":
        del value[where[-1]]
    elif how == "add" and isinstance(value, dict):
        value["extra"] = new
    else:
        value[where[-1]] = new


@given(st.data())
@settings(many, max_examples=120)
def test_edited_facts_with_fresh_hashes(made: Path, data: st.DataObject) -> None:
    with copied(made) as folder:
        path = folder / "model" / files.FACTS
        facts = json.loads(path.read_text())
        where = data.draw(st.sampled_from(list(places(facts))))
        edit(facts, where, data.draw(st.sampled_from(["set", "drop", "add"])), data.draw(odd))
        path.write_text(json.dumps(facts))
        rehash(folder / "model")
        begun = time.process_time()
        result, rows = sampled(folder)
        assert time.process_time() - begun < SECONDS
        if not is_clear(result, {7, 8}):
            assert len(rows.splitlines()) == 31


@given(st.sampled_from(LEDGER_FILES), damage(), st.sampled_from(["show", "verify", "export"]))
@many
def test_damaged_ledgers(made: Path, good: tuple[str, str], name: str, change: Any, verb: str) -> None:
    with copied(made) as folder:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
        result = dpsynth("ledger", verb, folder / "claims.ledger")
        if not is_clear(result, {5, 7, 8}) and verb == "show":
            assert result.stdout == good[1]


def forge(path: Path, lines: list[str]) -> None:
    """Write these entries with a chain of hashes and a head that agree, as somebody who knows the format can."""
    ledger, previous = "", ledger_chain.GENESIS
    with closing(sqlite3.connect(path)) as connection:
        for trigger in ("no_update", "no_delete"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for sequence, text in enumerate(lines):
            entry = json.loads(text)
            if "previous" in entry:
                entry["previous"] = previous
            line = json.dumps(entry, sort_keys=True, separators=(",", ":"))
            previous = ledger_chain.digest(line.encode())
            body = entry.get("body")
            ledger = ledger or str(body.get("ledger") if isinstance(body, dict) else None)
            values = (line, previous, sequence)
            connection.execute("UPDATE entries SET line = ?, hash = ? WHERE sequence = ?", values)
        for trigger in ("no_update", "no_delete"):
            connection.execute(ledger_store._TABLES[trigger])
        connection.commit()
    head = ledger_store._head_text(ledger_store.Mark(ledger, len(lines) - 1, previous))
    path.with_name(path.name + ".head").write_bytes(head)


def lines_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM entries ORDER BY sequence")]


def test_a_forged_copy_is_not_told_apart(made: Path, good: tuple[str, str]) -> None:
    """What the next test does reaches the reading of entries: unchanged entries come through."""
    with copied(made) as folder:
        path = folder / "claims.ledger"
        forge(path, lines_of(path))
        assert dpsynth("ledger", "show", path).stdout == good[1]


@given(st.data())
@settings(many, max_examples=120)
def test_edited_entries(made: Path, data: st.DataObject) -> None:
    """Entries that make no sense, in a chain that does: never a traceback, whatever is understood."""
    with copied(made) as folder:
        path = folder / "claims.ledger"
        lines = lines_of(path)
        number = data.draw(st.integers(0, len(lines) - 1))
        entry = json.loads(lines[number])
        where = data.draw(st.sampled_from(list(places(entry))))
        edit(entry, where, data.draw(st.sampled_from(["set", "drop", "add"])), data.draw(odd))
        lines[number] = json.dumps(entry)
        forge(path, lines)
        begun = time.process_time()
        results = [dpsynth("ledger", verb, path) for verb in ("show", "verify", "export")]
        assert time.process_time() - begun < SECONDS
        assert len({is_clear(result, {5, 7, 8}) for result in results}) == 1
