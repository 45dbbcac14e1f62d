"""Every way to change a ledger behind its back, and what notices it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError, DPSynthError, VerifyError
from dpsynth.privacy import ledger_chain, ledger_journal
from dpsynth.privacy.events import Charge, DiscreteGaussian
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_chain import Row, canonical, check_rows, digest, seal
from dpsynth.privacy.ledger_store import _TABLES, FileStore, Mark, _head_text

PROMISE = Budget(3.0, 1e-9)
PLAN = (Charge("count", DiscreteGaussian(50.0, 1)),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.ledger"


@pytest.fixture
def filled(path: Path) -> Ledger:
    """Seven entries: open, two runs, one of them open, an external release, an audit, a block."""
    ledger = Ledger.open(path, dataset="people", promise=PROMISE)
    ledger.reserve("first", PLAN, PROMISE, fingerprint=b"source").commit()
    ledger.reserve("second", PLAN, PROMISE)
    ledger.charge_external("map", 0.1, 0.0, tool="other")
    ledger.record_audit("model", "NO EVIDENCE FROM THESE ATTACKS", 1, ["ab" * 32])
    ledger.block("model", "why")
    return ledger


def tamper(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Change rows as somebody with the file and SQLite can: triggers aside, and put back afterwards."""
    connection = sqlite3.connect(path)
    for trigger in ("no_update", "no_delete"):
        connection.execute(f"DROP TRIGGER {trigger}")
    for statement, values in statements:
        connection.execute(statement, values)
    for trigger in ("no_update", "no_delete"):
        connection.execute(_TABLES[trigger])
    connection.commit()
    connection.close()


def rows_of(path: Path) -> list[Row]:
    with FileStore(path).reading() as session:
        return session.rows(0)


def refused(path: Path) -> str:
    with pytest.raises(VerifyError) as error:
        Ledger.load(path)
    assert error.value.fix
    return error.value.code.removeprefix("DPS-")


def head(path: Path) -> Path:
    return path.with_name(path.name + ".head")


class TestChain:
    def test_it_passes_when_nothing_was_done(self, filled: Ledger, path: Path) -> None:
        tamper(path)
        assert Ledger.load(path).entries == filled.entries
        assert Ledger.verify(path, heads=[entry.hash for entry in filled.entries]).heads_found == 7

    def test_any_byte_of_any_entry(self, filled: Ledger, path: Path) -> None:
        rows = rows_of(path)
        for number, row in enumerate(rows):
            for at in range(len(row.line)):
                line = row.line[:at] + bytes([row.line[at] ^ 1]) + row.line[at + 1 :]
                with pytest.raises(VerifyError, match=f"entry {number} "):
                    check_rows([*rows[:number], row._replace(line=line), *rows[number + 1 :]], None)
            for at in range(len(row.hash)):
                wrong = row.hash[:at] + ("0" if row.hash[at] != "0" else "1") + row.hash[at + 1 :]
                with pytest.raises(VerifyError, match=f"entry {number} "):
                    check_rows([*rows[:number], row._replace(hash=wrong), *rows[number + 1 :]], None)

    def test_any_byte_would_pass_without_the_hash(
        self, filled: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The planted lie: a chain that believes its rows. A smaller price then goes through."""
        row = rows_of(path)[1]
        cheap = row.line.replace(b'"sigma":50.0', b'"sigma":90.0')
        assert cheap != row.line
        tamper(path, ("UPDATE entries SET line = ? WHERE sequence = 1", (cheap.decode(),)))
        assert refused(path) == "V302"
        stored = {cheap: row.hash, **{r.line: r.hash for r in rows_of(path)}}
        monkeypatch.setattr(ledger_chain, "digest", lambda line: stored[line])
        assert Ledger.load(path).spent().mu < filled.spent().mu

    @pytest.mark.parametrize("number", range(7))
    def test_an_entry_dropped(self, filled: Ledger, path: Path, number: int) -> None:
        tamper(path, ("DELETE FROM entries WHERE sequence = ?", (number,)))
        assert refused(path) == ("V310" if number == 6 else "V301")

    @pytest.mark.parametrize("number", range(6))
    def test_an_entry_dropped_and_the_rest_renumbered(self, filled: Ledger, path: Path, number: int) -> None:
        tamper(
            path,
            ("DELETE FROM entries WHERE sequence = ?", (number,)),
            ("UPDATE entries SET sequence = -sequence WHERE sequence > ?", (number,)),
            ("UPDATE entries SET sequence = -sequence - 1 WHERE sequence < 0", ()),
        )
        assert refused(path) == "V303"

    @pytest.mark.parametrize("number", range(1, 6))
    def test_neighbours_swapped(self, filled: Ledger, path: Path, number: int) -> None:
        tamper(
            path,
            ("UPDATE entries SET sequence = -1 WHERE sequence = ?", (number,)),
            ("UPDATE entries SET sequence = ? WHERE sequence = ?", (number, number + 1)),
            ("UPDATE entries SET sequence = ? WHERE sequence = -1", (number + 1,)),
        )
        assert refused(path) == "V303"

    def test_an_entry_rewritten_with_a_fresh_hash(self, filled: Ledger, path: Path) -> None:
        """One entry forged by somebody who knows the format: the next one does not follow it."""
        row = rows_of(path)[1]
        cheap = row.line.replace(b'"sigma":50.0', b'"sigma":90.0')
        tamper(
            path,
            ("UPDATE entries SET line = ?, hash = ? WHERE sequence = 1", (cheap.decode(), digest(cheap))),
        )
        assert refused(path) == "V303"

    def test_the_whole_tail_rewritten(self, filled: Ledger, path: Path) -> None:
        """Everything from entry 1 forged consistently: only the head file disagrees, and a bundle's head."""
        old, spent = list(filled.entries), filled.spent().mu
        entries = old[:1]
        statements: list[tuple[str, tuple[object, ...]]] = []
        for entry in old[1:]:
            body = json.loads(json.dumps(dict(entry.body)).replace("50.0", "90.0"))
            row = seal(entry.kind, body, entries[-1])
            entries += check_rows([row], entries[-1])
            statements.append(
                (
                    "UPDATE entries SET line = ?, hash = ? WHERE sequence = ?",
                    (row.line.decode(), row.hash, row.sequence),
                )
            )
        tamper(path, *statements)
        assert refused(path) == "V317"
        forged = Mark(filled._journal.book.opening.ledger, 6, entries[-1].hash)
        head(path).write_bytes(_head_text(forged))
        assert Ledger.load(path).spent().mu < spent
        with pytest.raises(VerifyError) as error:
            Ledger.verify(path, heads=[old[-1].hash])
        assert error.value.code == "DPS-V316"

    def test_entries_of_another_ledger(self, filled: Ledger, path: Path, tmp_path: Path) -> None:
        other = Ledger.open(tmp_path / "b.ledger", dataset="people", promise=PROMISE)
        other.reserve("first", PLAN, PROMISE)
        row = rows_of(tmp_path / "b.ledger")[1]
        tamper(
            path, ("UPDATE entries SET line = ?, hash = ? WHERE sequence = 1", (row.line.decode(), row.hash))
        )
        assert refused(path) == "V303"

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("open", {}),
            ("commit", {"run": "nobody", "outcome": "complete", "made": 1, "seeded": False}),
            ("external", {"event": {"kind": "nothing"}, "d0": 0.0}),
            ("external", {"event": {"kind": "external", "epsilon": 1.0, "delta": 0.0}, "d0": -1.0}),
            ("external", {"event": {"kind": "external", "epsilon": 1.0, "delta": 0.0}, "d0": None}),
            ("reserve", {"run": "r", "purpose": "p", "charges": []}),
            ("block", {"model": "m"}),
        ],
    )
    def test_entries_that_make_no_sense(
        self, filled: Ledger, path: Path, kind: str, body: dict[str, object]
    ) -> None:
        row = seal(kind, body, filled.entries[-1])
        tamper(path, ("INSERT INTO entries VALUES (?, ?, ?)", (row.sequence, row.line.decode(), row.hash)))
        assert refused(path) == "V311"

    @pytest.mark.parametrize("kind", ["commit", "reserve"])
    def test_a_run_that_ends_or_begins_twice(self, filled: Ledger, path: Path, kind: str) -> None:
        again = next(entry for entry in filled.entries if entry.kind == kind)
        row = seal(kind, again.body, filled.entries[-1])
        tamper(path, ("INSERT INTO entries VALUES (?, ?, ?)", (row.sequence, row.line.decode(), row.hash)))
        assert refused(path) == "V311"

    def test_a_kind_from_the_future(
        self, filled: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger_chain, "KINDS", frozenset({"odd"}))
        row = seal("odd", {}, filled.entries[-1])
        monkeypatch.undo()
        tamper(path, ("INSERT INTO entries VALUES (?, ?, ?)", (row.sequence, row.line.decode(), row.hash)))
        assert refused(path) == "V305"

    @pytest.mark.parametrize("line", ["{}", "[]", "", "nonsense", '{"a": 1}', "\x00"])
    def test_lines_that_are_no_entries(self, filled: Ledger, path: Path, line: str) -> None:
        values = (7, line, digest(line.encode()))
        tamper(path, ("INSERT INTO entries VALUES (?, ?, ?)", values))
        assert refused(path) == "V304"

    def test_a_line_with_two_spellings(self, filled: Ledger, path: Path) -> None:
        row = seal("block", {"model": "m", "why": "w"}, filled.entries[-1])
        loose = row.line.replace(b'"why":"w"', b'"why": "w"')
        tamper(path, ("INSERT INTO entries VALUES (?, ?, ?)", (7, loose.decode(), digest(loose))))
        assert refused(path) == "V304"

    def test_a_line_that_names_another_place(self, filled: Ledger, path: Path) -> None:
        row = seal("block", {"model": "m", "why": "w"}, filled.entries[-1])
        moved = row.line.replace(b'"sequence":7', b'"sequence":8')
        assert moved != row.line
        tamper(path, ("INSERT INTO entries VALUES (?, ?, ?)", (7, moved.decode(), digest(moved))))
        assert refused(path) == "V303"

    def test_rows_of_other_types(self, filled: Ledger, path: Path) -> None:
        tamper(path, ("UPDATE entries SET line = 7 WHERE sequence = 1", ()))
        assert refused(path) == "V302"
        tamper(path, ("UPDATE entries SET hash = NULL OR 3.5 WHERE sequence = 1", ()))
        assert refused(path) in {"V302", "V304"}

    def test_salts_differ_and_hide_equal_entries(self, filled: Ledger, path: Path) -> None:
        salts = [entry.salt for entry in filled.entries]
        assert len(set(salts)) == len(salts)
        assert all(len(bytes.fromhex(salt)) == 16 for salt in salts)
        twice = [seal("block", {"model": "m", "why": "w"}, None).hash for _ in range(2)]
        assert twice[0] != twice[1]


class TestHead:
    def test_cut_tail(self, filled: Ledger, path: Path) -> None:
        for keep in range(6, 0, -1):
            tamper(path, ("DELETE FROM entries WHERE sequence >= ?", (keep,)))
            assert refused(path) == "V310"

    def test_a_cut_tail_would_pass_without_the_head(
        self, filled: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The planted lie: no look at the head file. What was spent is then forgotten."""
        spent = filled.spent().mu
        tamper(path, ("DELETE FROM entries WHERE sequence >= 3", ()))
        monkeypatch.setattr(ledger_journal.Journal, "_check_mark", lambda self, mark: None)
        assert Ledger.load(path).spent().mu < spent

    def test_restored_backup(self, filled: Ledger, path: Path) -> None:
        backup = path.read_bytes()
        filled.reserve("third", PLAN, PROMISE)
        path.write_bytes(backup)
        assert refused(path) == "V310"
        with pytest.raises(VerifyError) as error:
            filled.reserve("fourth", PLAN, PROMISE)
        assert error.value.code == "DPS-V315"

    def test_both_restored_is_seen_by_a_bundle_s_head_only(self, filled: Ledger, path: Path) -> None:
        backup = path.read_bytes(), head(path).read_bytes()
        published = filled.reserve("third", PLAN, PROMISE).receipt().ledger_head
        path.write_bytes(backup[0])
        head(path).write_bytes(backup[1])
        assert len(Ledger.load(path).entries) == 7
        with pytest.raises(VerifyError) as error:
            Ledger.verify(path, heads=[published])
        assert error.value.code == "DPS-V316"

    def test_a_backup_that_went_its_own_way(self, filled: Ledger, path: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy.ledger"
        shutil.copy(path, copy)
        shutil.copy(head(path), head(copy))
        filled.block("a", "b")
        Ledger.load(copy).block("c", "d")
        shutil.copy(copy, path)
        assert refused(path) == "V317"

    def test_head_of_another_ledger(self, filled: Ledger, path: Path, tmp_path: Path) -> None:
        Ledger.open(tmp_path / "b.ledger", dataset="people", promise=PROMISE)
        shutil.copy(head(tmp_path / "b.ledger"), head(path))
        assert refused(path) == "V313"

    def test_head_lost_and_restored(self, filled: Ledger, path: Path) -> None:
        head(path).unlink()
        assert refused(path) == "V312"
        with pytest.raises(VerifyError):
            filled.block("m", "w")
        with pytest.raises(VerifyError) as error:
            Ledger.restore_head(path, "0" * 64)
        assert error.value.code == "DPS-V316"
        again = Ledger.restore_head(path, filled._journal.entries[3].hash)
        assert again.entries[-1].kind == "head restored"
        assert again.spent() == Ledger.load(path).spent()

    @pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b"[1]", b'{"format":1}', b"null"])
    def test_head_unreadable(self, filled: Ledger, path: Path, text: bytes) -> None:
        good = filled.head
        head(path).write_bytes(text)
        assert refused(path) == "V307"
        Ledger.restore_head(path, good)

    def test_any_byte_of_the_head(self, filled: Ledger, path: Path) -> None:
        text = head(path).read_bytes()
        for at in range(len(text)):
            head(path).write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
            assert refused(path) in {"V307", "V310", "V313", "V317"}

    def test_ledger_gone(self, filled: Ledger, path: Path) -> None:
        path.unlink()
        for use in (lambda: Ledger.load(path), lambda: Ledger.open(path, dataset="people", promise=PROMISE)):
            with pytest.raises(VerifyError) as error:
                use()
            assert error.value.code == "DPS-V306"
        path.touch()
        assert refused(path) == "V306"


class TestFile:
    def test_any_byte_of_the_file_is_refused_or_harmless(self, filled: Ledger, path: Path) -> None:
        """Bytes that no entry uses may change; what is read is either refused or exactly what was written."""
        whole, rng = path.read_bytes(), random.Random(1)
        known = [entry.as_json() for entry in filled.entries]
        caught = 0
        for _ in range(600):
            at = rng.randrange(len(whole))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
            try:
                assert [entry.as_json() for entry in Ledger.load(path).entries] == known
            except (VerifyError, DPSynthError):
                caught += 1
            finally:
                for debris in path.parent.glob("people.ledger-*"):
                    debris.unlink()
        assert caught > 50

    def test_torn_files(self, filled: Ledger, path: Path) -> None:
        whole = path.read_bytes()
        for size in [1, 15, 16, 99, 100, 512, 4095, 4096, 8192, len(whole) - 4096, len(whole) - 1]:
            path.write_bytes(whole[:size])
            with pytest.raises(DPSynthError):
                Ledger.load(path)

    @pytest.mark.parametrize("junk", [b"not a database, but long enough to be one" * 200, b"\0" * 5000])
    def test_other_files(self, path: Path, junk: bytes) -> None:
        path.write_bytes(junk)
        assert refused(path) in {"V308", "V309"}
        assert path.read_bytes() == junk

    def test_a_stub_is_no_ledger(self, path: Path) -> None:
        path.write_bytes(b"x")
        for use in (lambda: Ledger.load(path), lambda: Ledger.open(path, dataset="d", promise=PROMISE)):
            with pytest.raises(BudgetError):
                use()
        assert path.read_bytes() == b"x"

    def test_another_database(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE entries (sequence, line, hash)")
        connection.commit()
        connection.close()
        assert refused(path) == "V308"

    @pytest.mark.parametrize(
        "statement",
        [
            "CREATE TABLE more (a)",
            "CREATE INDEX i ON entries (hash)",
            "DROP TRIGGER no_delete",
            "PRAGMA application_id=1",
            "PRAGMA journal_mode=WAL",
        ],
    )
    def test_another_layout(self, filled: Ledger, path: Path, statement: str) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()
        assert refused(path) == "V308"

    @pytest.mark.parametrize("statement", ["UPDATE entries SET line = ''", "DELETE FROM entries"])
    def test_entries_resist_plain_sql(self, filled: Ledger, path: Path, statement: str) -> None:
        connection = sqlite3.connect(path)
        with pytest.raises(sqlite3.IntegrityError, match="append only"):
            connection.execute(statement)
        connection.close()

    def test_the_fingerprint_key_is_tied_to_the_chain(self, filled: Ledger, path: Path) -> None:
        tamper(path, ("UPDATE secret SET key = ?", (b"x" * 32,)))
        assert refused(path) == "V314"
        tamper(path, ("DELETE FROM secret", ()))
        assert refused(path) == "V314"

    def test_no_rows_at_all(self, filled: Ledger, path: Path) -> None:
        tamper(path, ("DELETE FROM entries", ()))
        assert refused(path) == "V318"


def test_a_restored_file_under_an_open_handle(filled: Ledger, path: Path) -> None:
    backup = path.read_bytes(), head(path).read_bytes()
    filled.block("a", "b")
    path.write_bytes(backup[0])
    head(path).write_bytes(backup[1])
    for use in (filled.spent, lambda: filled.reserve("r", PLAN, PROMISE)):
        with pytest.raises(VerifyError) as error:
            use()
        assert error.value.code == "DPS-V315"


def test_canonical_json_has_no_nan() -> None:
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})


def test_unknown_kinds_are_not_written() -> None:
    with pytest.raises(ValueError):
        seal("odd", {}, None)
