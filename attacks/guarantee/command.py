"""Anybody's generator as a command line: it reads a csv and writes a csv."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from attacks.guarantee.pairs import Pair, scores
from dpsynth.errors import AuditError, UsageError

INPUT, OUTPUT = "{input}", "{output}"


@dataclass(frozen=True)
class Command:
    """`words`: the program and its arguments, with {input} and {output} where the paths go. No shell reads them.

    `seconds`: how long one fit may take. The command must draw fresh noise each time that it is called.
    """

    words: tuple[str, ...]
    seconds: float = 600.0

    @classmethod
    def of(cls, line: str, seconds: float = 600.0) -> Command:
        """UsageError U271 without {input} and {output}."""
        try:
            words = tuple(shlex.split(line))
        except ValueError:
            words = ()
        text = " ".join(words)
        if INPUT not in text or OUTPUT not in text:
            raise UsageError(
                "U271",
                "the command does not say where its tables go",
                'write --command "program {input} {output}": it reads a csv and writes a csv',
            )
        return cls(words, seconds)

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What the command writes for this table. AuditError A470 when it fails or writes no table."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.csv", Path(folder) / "out.csv"
            frame.to_csv(source, index=False)
            words = [w.replace(INPUT, str(source)).replace(OUTPUT, str(target)) for w in self.words]
            try:
                done = subprocess.run(words, capture_output=True, text=True, timeout=self.seconds)
            except (OSError, subprocess.TimeoutExpired) as problem:
                raise _failed(str(problem)) from None
            if done.returncode != 0:
                raise _failed(
                    f"exit code {done.returncode}; {(done.stderr.strip().splitlines() or [''])[-1]}"
                )
            try:
                return pd.read_csv(target, dtype=str, keep_default_na=False)
            except (OSError, ValueError) as problem:
                raise _failed(f"it wrote no table ({type(problem).__name__})") from None


def _failed(why: str) -> AuditError:
    return AuditError("A470", f"the command failed: {why}", "run it by hand on a small csv")


@dataclass(frozen=True, eq=False)
class OnPair:
    """A trial: the command on one of the built-in pairs, and the scores of what it wrote."""

    command: Command
    pair: Pair

    def __call__(self, with_unit: bool) -> Mapping[str, float]:
        return scores(self.command(self.pair.table(with_unit)), self.pair)
