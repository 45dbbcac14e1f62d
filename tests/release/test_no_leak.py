"""What must not be in public/: the walk finds every planted fact, and none in a real release."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from release_parts import HUMAN, Parts

from dpsynth import release
from dpsynth.release import writer

TEXT_FILES = [
    "attestation.dsse.json",
    "checklist.md",
    "croissant.json",
    "manifest.json",
    "measurements.json",
    "model_card.md",
    "privacy.json",
    "registry.yaml",
    "report.html",
    "report.json",
    "schema.yaml",
    "sign_here.md",
]


def facts(parts: Parts) -> dict[str, str]:
    """Everything private about this release as a regular expression for how it would be written."""
    p = parts.private
    whole = {
        "row count": p.rows,
        "held-out rows": p.held_out_rows,
        "training rows": p.rows - p.held_out_rows,
        "people": p.units,
        "missing cells": p.missing,
        "members": 8117,
    }
    decimal = {
        "missing rate": p.missing / p.rows,
        "attack's area": 0.5123,
        "attack's p-value": 0.6434,
        "attack's bound": 0.0712,
        "copied share": 0.0137,
        "smallest value": float(p.smallest_cost),
        "largest value": float(p.largest_cost),
    }
    words = {
        "path": os.fspath(parts.ledger.parent),
        "folder": "/tmp/",
        "host": socket.gethostname(),
        "attack verdict": "NO EVIDENCE",
        "attack group": "isolated",
    }
    patterns = {name: number(f"{value:d}") + "|" + number(f"{value:,}") for name, value in whole.items()}
    patterns |= {name: number(f"{value:.10g}"[:10]) for name, value in decimal.items()}
    patterns |= {name: re.escape(text) for name, text in words.items()}
    patterns["user"] = rf"(?<![\w:]){re.escape(getpass.getuser())}\b"  # ":root" is a style sheet's
    patterns["date or time"] = r"\b20[2-9]\d-[01]\d-[0-3]\d|\b[0-2]\d:[0-5]\d:[0-5]\d|\b1[6-9]\d{8}\b"
    patterns["real id"] = r"P-\d{4}X"  # the source's ids end in a letter, made-up ones do not
    return patterns


def number(text: str) -> str:
    """Not inside a longer number or a hash."""
    return rf"(?<![0-9a-f.]){re.escape(text)}(?!\d)(?![a-f]\d)"


def texts(public: Path) -> Iterator[tuple[str, str]]:
    """(where, text) of everything a recipient can see beside the rows: names, times, content, notes inside files."""
    for path in [public, *sorted(public.rglob("*"))]:
        yield f"name of {path.name}", path.name
        modified = int(path.stat().st_mtime)
        yield f"time of {path.name}", "" if modified == writer.EPOCH else str(modified)
        if path.is_file() and path.name != "data.csv":
            yield path.name, without_paid(path.name, "\n".join(content(path)))


def content(path: Path) -> Iterator[str]:
    """What stands in a file: its text; of tables their notes and names; of pictures and others every readable run."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        notes = pq.read_metadata(path)
        yield from (f"{k!r}: {v!r}" for k, v in (notes.metadata or {}).items())
        yield from (str(notes.created_by), str(pq.read_schema(path).metadata), *pq.read_schema(path).names)
        return
    if data.startswith(PNG):
        yield from chunks(data)
    try:
        yield data.decode()
    except UnicodeDecodeError:
        yield from (run.decode() for run in re.findall(rb"[ -~]{4,}", data))


PNG = b"\x89PNG\r\n\x1a\n"


def chunks(data: bytes) -> Iterator[str]:
    """Texts in a PNG picture, those that are packed included."""
    place = len(PNG)
    while place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + size]
        if kind == b"zTXt":
            yield zlib.decompress(body.split(b"\0", 1)[1][1:]).decode("latin-1")
        elif kind in {b"tEXt", b"iTXt", b"eXIf"}:
            yield body.decode("latin-1")
        elif kind == b"tIME":
            yield f"{int.from_bytes(body[:2])}-{body[2]:02d}-{body[3]:02d}"
        place += 12 + size


STATED = "|".join(day for day in (HUMAN.review_date, HUMAN.publication and HUMAN.publication.date) if day)
PAID = re.compile(
    r'"values": \[[^\]]*\]|"noisy_rows_used": \d+|"noisy_total": [\d.]+|"bytes": \d+|\d+ bytes|'
    rf'"contentSize": "\d+ B"|{STATED}'
)
"""Where numbers may stand that lie near true ones: noisy counts, their sum, sizes of files; and the stated days."""


def without_paid(name: str, text: str) -> str:
    """On the page the noisy sum is the only whole number with thin spaces, beside the declared ones."""
    return PAID.sub("", re.sub(r"\d{1,3}(?:\u202f\d{3})+", "", text) if name == "report.html" else text)


def found(public: Path, parts: Parts) -> list[str]:
    patterns = facts(parts)
    return [
        f"{name} in {where}"
        for where, text in texts(public)
        for name, pattern in patterns.items()
        if re.search(pattern, text)
    ]


def plantable(parts: Parts) -> dict[str, str]:
    p = parts.private
    return {
        "row count": f'"rows": {p.rows},',
        "held-out rows": f"held out: {p.held_out_rows}",
        "training rows": f"[{p.rows - p.held_out_rows:,}]",
        "people": f"({p.units} people)",
        "missing cells": f"missing={p.missing}",
        "missing rate": f"{p.missing / p.rows:.10f}"[:10],
        "largest value": f"max: {p.largest_cost}",
        "smallest value": f"({p.smallest_cost})",
        "attack's area": "AUC 0.5123",
        "members": "None of 8117 people",
        "path": os.fspath(parts.ledger),
        "host": f"on {socket.gethostname()}",
        "user": f"by {getpass.getuser()}.",
        "date or time": "written 2026-11-22T10:11:12",
        "attack verdict": "NO EVIDENCE FROM THESE ATTACKS",
    }


@pytest.fixture(scope="module")
def everything(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public folder with every file that a bundle can have."""
    folder = tmp_path_factory.mktemp("everything")
    release.generate(folder / "own.key", folder / "own.pub")
    signer = release.load_signer(folder / "own.key")
    return parts.write(folder / "out", form="parquet", signer=signer).public


def test_there_is_no_file_that_the_walk_does_not_know(everything: Path) -> None:
    assert {path.name for path in everything.iterdir()} == {*TEXT_FILES, "data.parquet"}


def test_a_release_holds_none_of_it(bundle: release.Bundle, everything: Path, parts: Parts) -> None:
    assert found(bundle.public, parts) == []
    assert found(everything, parts) == []


def test_the_rows_are_not_the_real_ones(bundle: release.Bundle, parts: Parts) -> None:
    assert not re.search(facts(parts)["real id"], bundle.data.read_text())
    assert len(parts.synthetic) == 2000  # as asked for, not as many as there are


@pytest.mark.parametrize("where", TEXT_FILES)
def test_each_planted_fact_is_found(parts: Parts, everything: Path, where: str) -> None:
    before = without_paid(where, "\n".join(content(everything / where)))
    patterns = facts(parts)
    for name, text in plantable(parts).items():
        after = without_paid(where, f"{before} {text}")
        assert re.search(patterns[name], after), (name, text)
        assert not re.search(patterns[name], before), name


def test_each_fact_is_found_in_the_notes_of_a_table_and_of_a_picture(
    parts: Parts, everything: Path, tmp_path: Path
) -> None:
    table, patterns = pq.read_table(everything / "data.parquet"), facts(parts)
    for name, text in plantable(parts).items():
        noted = table.slice(0, 1).replace_schema_metadata({"pandas": f'{{"index": " {text} "}}'})
        pq.write_table(noted, tmp_path / "data.parquet")
        packed = b"Comment\0\0" + zlib.compress(b" " + text.encode())
        picture(tmp_path / "plain.png", b"tEXt", b"Comment\0 " + text.encode())
        picture(tmp_path / "packed.png", b"zTXt", packed)
        for path in tmp_path.iterdir():
            assert re.search(patterns[name], "\n".join(content(path))), (name, path.name)
    picture(tmp_path / "plain.png", b"tIME", b"\x07\xea\x0b\x16\x0a\x0b\x0c")
    assert "date or time in plain.png" in found(tmp_path, parts)


def picture(path: Path, kind: bytes, body: bytes) -> None:
    path.write_bytes(PNG + len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4))


def test_a_file_time_or_a_name_is_found_too(parts: Parts, bundle: release.Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.public, tmp_path / "copy"))
    os.utime(copy / "data.csv", (1_790_000_000, 1_790_000_000))
    (copy / "report.json").rename(copy / f"report-{socket.gethostname()}.json")
    lines = found(copy, parts)
    assert "date or time in time of data.csv" in lines
    assert any(line.startswith("host in name of") for line in lines)


def test_public_reports_know_only_what_is_public(bundle: release.Bundle) -> None:
    report = json.loads((bundle.public / "report.json").read_text())
    assert set(report) == {
        "format",
        "visibility",
        "title",
        "verdict",
        "generator",
        "numbers",
        "not_protected",
        "constraints",
        "guarantee",
        "unit",
        "neighbours",
        "unprotected_quantities",
        "attacker",
        "curve",
        "ledger",
        "audits",
        "published_figures",
        "tool",
        "charges",
        "trade_off",
        "consistency",
        "columns",
        "human",
        "data_file",
    }
    assert set(report["audits"]["attacks"][0]) == {"name", "knowledge"}
    assert [a["name"] for a in report["audits"]["attacks"]] == ["closest record", "exact cells"]
