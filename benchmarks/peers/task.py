"""What a generator is asked to do, as it travels between environments; nothing but the standard library."""

from __future__ import annotations

import json
import resource
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """One fit. `domain`: cells of each column, in order; the rows are codes 0, 1, ... below these.

    `library` names the adapter (`with_<library>.py`), `method` one of its generators. `cpu_limit` in seconds of
    CPU for fitting and sampling together, `memory_mb` of private memory; `repeats` fits in one process.
    """

    library: str
    method: str
    epsilon: float
    delta: float
    seed: int
    domain: dict[str, int]
    ordered: list[str]
    target: str | None
    rows_wanted: int
    cpu_limit: float
    memory_mb: int
    repeats: int

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Task:
        return cls(**json.loads(path.read_text()))


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
