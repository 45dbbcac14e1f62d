"""What a killed process left beside a release is swept up; what lives, or is not ours, stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpsynth.release.staging import staged, sweep

HOLD = """
import sys, time
from pathlib import Path
from dpsynth.release.staging import staged
with staged(Path(sys.argv[1])) as stage:
    (stage / "half").write_text("x")
    print("ready", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """A process in the middle of writing tmp_path/out."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def partial(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".partial"))


def test_a_living_writer_is_left_alone_and_a_killed_one_swept(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    [left] = partial(tmp_path)
    assert sweep(tmp_path / "out") == []
    assert partial(tmp_path) == [left]
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert partial(tmp_path) == [left]
    assert sweep(tmp_path / "other") == []  # of another target
    with staged(tmp_path / "out") as stage:
        assert partial(tmp_path) == [stage.name]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_what_only_looks_alike_stays(tmp_path: Path) -> None:
    (tmp_path / "aim").mkdir()
    (tmp_path / ".out-abcdefgh.partial").symlink_to(tmp_path / "aim")
    (tmp_path / ".out-notes.partial").mkdir()
    (tmp_path / ".out-12345678.partial").write_text("a file")
    (tmp_path / ".outer-abcd1234.partial").mkdir()
    (tmp_path / ".out-abcd1234.partial").mkdir()
    assert sweep(tmp_path / "out") == [".out-abcd1234.partial"]
    assert len(partial(tmp_path)) == 4
    assert (tmp_path / "aim").is_dir()


def test_two_writers_do_not_sweep_each_other(tmp_path: Path) -> None:
    with staged(tmp_path / "out") as first:
        assert sweep(tmp_path / "out") == []
        (first / "a").write_text("1")
        os.utime(first, (0, 0))  # however old it looks
        assert sweep(tmp_path / "out") == []
    assert (tmp_path / "out" / "a").read_text() == "1"
