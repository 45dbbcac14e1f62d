"""Our generators beside others', on real tables: errors of marginals, prediction, NIST's score, CPU, memory.

    python -m benchmarks.generators --data DIR                       # everything; hours, most of it the peers'
    python -m benchmarks.generators --data DIR --tables adult_coded --epsilon 1 --generators ours mbi
    python -m benchmarks.generators --data DIR --table-only          # the table from stored results, runs nothing

DIR holds the tables that `benchmarks/tables.py` reads. Peers run in environments of their own, made at first use.
Every run is stored as soon as it ends: an interrupted command goes on where it stopped, and a change of our
source repeats our runs only. Our privacy noise cannot be seeded: a "seed" numbers the runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.setup import DEFAULT, PEERS
from benchmarks.report import report
from benchmarks.runs import OURS, Generator, Results, Run, Setting, result
from benchmarks.tables import TABLES, Table, add_options
from dpsynth.mechanisms import METHODS


def main() -> None:
    options = arguments()
    tables = [TABLES[name](options.data) for name in options.tables]
    if not options.table_only:
        for table in tables:
            run_all(table, options)
    runs = stored(options.results, tables, generators(["all", "untold"]))
    text = report(tables, runs, command(options))
    print(text)
    if options.write:
        options.write.write_text(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser, [1.0, 0.1, 10.0])
    parser.add_argument(
        "--generators", nargs="+", default=["all"], help="all, ours, peers, mbi, 'mbi mst', ..."
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each of our methods")
    parser.add_argument("--peer-seeds", type=int, default=1, help="runs of each peer's")
    parser.add_argument(
        "--repeats", type=int, default=1, help="fits in one process: the first and the last count"
    )
    parser.add_argument("--cpu-limit", type=float, default=900.0, help="CPU seconds for a fit and its sample")
    parser.add_argument("--memory-mb", type=int, default=12_000, help="memory that one run may take")
    parser.add_argument("--nice", type=int, default=15)
    parser.add_argument("--results", type=Path, default=DEFAULT / "generators.jsonl", help="stored results")
    parser.add_argument(
        "--environments", type=Path, default=DEFAULT, help="where the peers' environments are"
    )
    parser.add_argument("--fresh", action="store_true", help="run again what is stored")
    parser.add_argument("--table-only", action="store_true", help="run nothing")
    parser.add_argument("--write", type=Path, help="also write the table here")
    return parser.parse_args()


def generators(words: Sequence[str]) -> list[Generator]:
    """Those that the words name; peers one method after the other, the quicker methods first."""
    every = [Generator(OURS, method) for method in METHODS]
    untold = [replace(g, told=False) for g in every]
    most = max(len(peer.methods) for peer in PEERS.values())
    for place in range(most):
        every += [Generator(n, p.methods[place]) for n, p in PEERS.items() if place < len(p.methods)]
    kinds = {
        "all": every,
        "untold": untold,
        "ours": [g for g in every if g.ours],
        "peers": [g for g in every if not g.ours],
    }
    found: list[Generator] = []
    for word in words:
        named = kinds.get(word) or [g for g in [*every, *untold] if word in (g.name, g.library)]
        if not named:
            raise SystemExit(f"no generator {word!r}; there are: {', '.join(g.name for g in every)}")
        found += [g for g in named if g not in found]
    return found


def run_all(table: Table, options: argparse.Namespace) -> None:
    setting = Setting(
        environments=options.environments,
        results=options.results,
        cpu_limit=options.cpu_limit,
        memory_mb=options.memory_mb,
        nice=options.nice,
        repeats=options.repeats,
        fresh=options.fresh,
    )
    for epsilon in options.epsilon:
        for generator in generators(options.generators):
            for seed in range(options.seeds if generator.ours else options.peer_seeds):
                run = result(generator, table, epsilon, seed, setting)
                print(progress(run), file=sys.stderr, flush=True)
                if run.state != "done":
                    break  # what ran into a limit or failed once is not tried with other seeds


def progress(run: Run) -> str:
    scores = (
        "" if run.scores is None else f"2-way {run.scores.two_way:.4f}  3-way {run.scores.three_way:.4f}  "
    )
    return (
        f"{run.table} epsilon {run.epsilon:g} {run.generator} {run.seed}: {run.state} {run.reason} "
        f"{scores}{run.cpu_s:.1f} CPU-s  {run.peak_mb:.0f} MB"
    )


def stored(path: Path, tables: Sequence[Table], wanted: Sequence[Generator]) -> list[Run]:
    """The stored runs of these generators on these tables: of today's versions, or else of the latest before."""
    results = Results(path)
    by_fingerprint = {table.fingerprint: table for table in tables}
    today = {g.name: g.version for g in wanted}
    groups: dict[tuple[str, str, float], list[Run]] = {}
    for run in results:
        if run.fingerprint in by_fingerprint and run.generator in today:
            groups.setdefault((run.generator, run.table, run.epsilon), []).append(run)
    found: list[Run] = []
    for (name, _, _), runs in groups.items():
        versions = {run.version for run in runs}
        chosen = today[name] if today[name] in versions else max(runs, key=lambda run: run.taken).version
        found += [run for run in runs if run.version == chosen]
    return [results.rescored(run, by_fingerprint[run.fingerprint]) for run in found]


def command(options: argparse.Namespace) -> str:
    words = ["python -m benchmarks.generators --data DIR"]
    words += [f"--seeds {options.seeds}", f"--peer-seeds {options.peer_seeds}"]
    return " ".join([*words, f"--cpu-limit {options.cpu_limit:g}", f"--repeats {options.repeats}"])


if __name__ == "__main__":
    main()
