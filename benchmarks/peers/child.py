"""Runs inside a generator's own environment: one task from a folder, its rows and figures back into it.

    PYTHON child.py FOLDER      # reads task.json, rows.npy; writes synthetic.npy, figures.json

Imports are over before the clock starts. The CPU limit is the operating system's: past it the process is killed.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from task import Task, cpu_seconds


def main(folder: Path) -> None:
    task = Task.read(folder / "task.json")
    adapter = importlib.import_module(f"with_{task.library}")
    rows = np.load(folder / "rows.npy")
    imported = cpu_seconds()
    ends = int(imported + task.cpu_limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (ends, ends + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory_mb << 20,) * 2)
    np.random.seed(task.seed)  # noqa: NPY002  the peers draw from the global stream
    fits = []
    for _ in range(task.repeats):
        start, wall = cpu_seconds(), time.monotonic()
        sample = adapter.fit(task, rows)
        fits.append({"cpu_s": cpu_seconds() - start, "wall_s": time.monotonic() - wall})
    start = cpu_seconds()
    synthetic = np.asarray(sample(task.rows_wanted), dtype=np.int64)
    if synthetic.shape != (task.rows_wanted, len(task.domain)):
        raise ValueError(f"{task.library} {task.method} gave rows of shape {synthetic.shape}")
    figures = {
        "import_cpu_s": imported,
        "fits": fits,
        "sample_cpu_s": cpu_seconds() - start,
        "version": adapter.version(),
    }
    np.save(folder / "synthetic.npy", synthetic)
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
