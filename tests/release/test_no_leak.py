"""What must not be in public/: the walk finds every planted fact, and none in a real release."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from release_parts import HUMAN, Parts

from dpsynth import release
from dpsynth.release import writer
from dpsynth.release.pages import render

TEXT_FILES = ["privacy.json", "report.json", "report.html", "schema.yaml", "manifest.json"]


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


def texts(public: Path, paid: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(where, text) of everything a recipient can see beside the rows: names, times, content."""
    for path in [public, *sorted(public.rglob("*"))]:
        yield f"name of {path.name}", path.name
        modified = int(path.stat().st_mtime)
        yield f"time of {path.name}", "" if modified == writer.EPOCH else str(modified)
        if path.is_file() and path.name != "data.csv":
            yield path.name, paid.sub("", path.read_bytes().decode())


def paid_for(bundle: release.Bundle) -> re.Pattern[str]:
    """The noisy number of rows: it may lie near the true one, or even hit it. And the days that a person stated."""
    report = json.loads((bundle.public / "report.json").read_bytes())
    total = report["generator"]["noisy_rows_used"]
    stated = f"{HUMAN.review_date}|{HUMAN.publication.date}" if HUMAN.publication else HUMAN.review_date
    return re.compile(rf"{total}|{render.whole(total)}|{report['consistency']['noisy_total']}|{stated}")


def found(public: Path, parts: Parts, bundle: release.Bundle) -> list[str]:
    return [
        f"{name} in {where}"
        for where, text in texts(public, paid_for(bundle))
        for name, pattern in facts(parts).items()
        if re.search(pattern, text)
    ]


def test_a_release_holds_none_of_it(bundle: release.Bundle, parts: Parts) -> None:
    assert found(bundle.public, parts, bundle) == []


def test_the_rows_are_not_the_real_ones(bundle: release.Bundle, parts: Parts) -> None:
    assert not re.search(facts(parts)["real id"], bundle.data.read_text())
    assert len(parts.synthetic) == 2000  # as asked for, not as many as there are


@pytest.mark.parametrize("where", TEXT_FILES)
def test_each_planted_fact_is_found(parts: Parts, bundle: release.Bundle, tmp_path: Path, where: str) -> None:
    p = parts.private
    planted = {
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
    for name, text in planted.items():
        copy = Path(shutil.copytree(bundle.public, tmp_path / name))
        with (copy / where).open("a") as file:
            file.write(f" {text}")
        assert f"{name} in {where}" in found(copy, parts, bundle), (name, text)


def test_a_file_time_or_a_name_is_found_too(parts: Parts, bundle: release.Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.public, tmp_path / "copy"))
    os.utime(copy / "data.csv", (1_790_000_000, 1_790_000_000))
    (copy / "report.json").rename(copy / f"report-{socket.gethostname()}.json")
    lines = found(copy, parts, bundle)
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
