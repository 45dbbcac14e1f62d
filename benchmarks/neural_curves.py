"""Learning curves of `network` and `gan`: errors of all pairs against the step of the generator.

    OMP_NUM_THREADS=1 python -m benchmarks.neural_curves --data DIR                 # the table of all curves
    OMP_NUM_THREADS=1 python -m benchmarks.neural_curves --data DIR --picture       # and neural_curves.svg beside this file

Two errors, both mean total variation over pairs on the merged cells of the run, before the target is drawn again: against
what was released (the noisy pairs of this run, which the training sees) and against the training rows (which it does not
see: a benchmark's privilege). While the first falls and the second rises, noise is being learnt. A GAN releases no pair.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.network import DELTA, column, table_of
from benchmarks.tables import TABLES, Table
from dpsynth.gan import table as table_module
from dpsynth.gan import training as training_module
from dpsynth.gan.layout import Layout

EVERY = {"network": 20, "gan": 40}
Array = np.ndarray[Any, Any]
BEGIN, MOVE = training_module.Training.__init__, training_module._Adam.step
IMPROVE = table_module.LogitTable.improve


class Watch:
    """Pair tables of the generator at some steps, on merged cells."""

    def __init__(self) -> None:
        self.layout: Layout | None = None
        self.training: Any = None
        self.curve: list[tuple[int, Array]] = []
        self.step = 0

    def see(self, shares: Callable[[], Array], every: int) -> None:
        if self.step % every == 0:
            found = shares()
            self.curve.append((self.step, found.T @ found / len(found)))
        self.step += 1


def watch_network(watch: Watch) -> None:
    def begun(training: Any, domain: Any, *rest: Any, **named: Any) -> None:
        BEGIN(training, domain, *rest, **named)
        watch.layout, watch.training = training._layout, training

    def moved(adam: Any, rate: float) -> None:
        watch.see(lambda: watch.training.shares(adam._values.detach().cpu().numpy()), EVERY["network"])
        MOVE(adam, rate)

    training_module.Training.__init__ = begun  # type: ignore[method-assign]
    training_module._Adam.step = moved  # type: ignore[method-assign]


def watch_gan(watch: Watch) -> None:
    def improved(table: Any, critic: Any, rate: float) -> None:
        watch.layout = table._layout
        watch.see(lambda: table.shares, EVERY["gan"])
        IMPROVE(table, critic, rate)

    table_module.LogitTable.improve = improved  # type: ignore[method-assign]


def merges_of(model: Any) -> dict[str, Array]:
    return dict(getattr(model.generator, "merges", {}))


def run(table: Table, method: str, epsilon: float) -> list[tuple[int, float, float]]:
    """(step, error against released pairs, error against the training rows)."""
    import dpsynth
    from dpsynth.workload import Workload

    watch = Watch()
    {"network": watch_network, "gan": watch_gan}[method](watch)
    schema = dpsynth.Schema(columns={name: column(table, name) for name in table.domain})
    frame = pd.DataFrame(table.train, columns=list(table.domain))
    model = dpsynth.fit(
        frame, schema, method=method, epsilon=epsilon, delta=DELTA, workload=Workload(target=table.target)
    )
    assert watch.layout is not None
    merges = merges_of(model)
    names = list(table.domain)
    rows = np.stack(
        [merges[a][table.train[:, i]] if a in merges else table.train[:, i] for i, a in enumerate(names)], 1
    )
    exact, released = pair_tables(watch.layout, rows), noisy_pairs(watch.layout, model)
    return [
        (step, apart(watch.layout, found, released), apart(watch.layout, found, exact))
        for step, found in watch.curve
    ]


def pair_tables(layout: Layout, rows: Array) -> dict[tuple[int, int], Array]:
    found = {}
    for a, b in itertools.combinations(range(len(layout.sizes)), 2):
        counts = np.zeros((layout.sizes[a], layout.sizes[b]))
        np.add.at(counts, (rows[:, a], rows[:, b]), 1)
        found[a, b] = counts / len(rows)
    return found


def noisy_pairs(layout: Layout, model: Any) -> dict[tuple[int, int], Array]:
    """Those that were measured; a GAN releases none."""
    found = {}
    for m in model.measurements:
        if len(m.clique) == 2:
            a, b = (layout.domain.index(name) for name in m.clique)
            if m.values.shape == (layout.sizes[a], layout.sizes[b]):
                found[a, b] = m.values / model.generator.total
    return found


def apart(layout: Layout, found: Array, tables: dict[tuple[int, int], Array]) -> float:
    """Mean total variation; not a number without tables."""
    errors = [
        float(np.abs(found[layout.columns(a), layout.columns(b)] - given).sum() / 2)
        for (a, b), given in tables.items()
    ]
    return float(np.mean(errors)) if errors else float("nan")


Curves = dict[tuple[str, float], list[tuple[int, float, float]]]
COLOURS = ("#b3261e", "#1a6e3c", "#1f4e99", "#7a4fa3", "#555555")
WIDE, HIGH, LOWEST, HIGHEST = 300.0, 220.0, 0.01, 0.4


def picture(curves: Curves) -> str:
    """A panel for each method: the error against the training rows solid, against released pairs dotted; a logarithmic
    axis of errors, one colour for each epsilon."""
    epsilons = sorted({epsilon for _, epsilon in curves})
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="330" fill="white"/>',
    ]
    for place, method in enumerate(sorted({m for m, _ in curves}, reverse=True)):
        own = {epsilon: curve for (m, epsilon), curve in curves.items() if m == method}
        parts += panel(method, own, epsilons, 60.0 + 370 * place)
    for i, epsilon in enumerate(epsilons):
        text = f"epsilon {epsilon:g}"
        parts.append(f'<text x="{60 + 110 * i}" y="318" fill="{COLOURS[i]}">{text}</text>')
    parts.append('<text x="430" y="318">solid: training rows, dotted: released pairs</text>')
    return "\n".join([*parts, "</svg>", ""])


def panel(
    method: str, curves: dict[float, list[tuple[int, float, float]]], epsilons: list[float], left: float
) -> list[str]:
    last = max(step for curve in curves.values() for step, _, _ in curve)
    top = 30.0

    def place(step: int, error: float) -> str:
        part = np.log(HIGHEST / error) / np.log(HIGHEST / LOWEST)
        return f"{left + WIDE * step / last:.1f},{top + HIGH * min(1.0, max(0.0, part)):.1f}"

    parts = [f'<text x="{left}" y="18">{method}: error of pairs against the step</text>']
    for error in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4):
        y = place(0, error).split(",")[1]
        parts.append(f'<line x1="{left}" x2="{left + WIDE}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{error:g}</text>')
    for step in (0, last // 2, last):
        x = place(step, HIGHEST).split(",")[0]
        parts.append(f'<text x="{x}" y="{top + HIGH + 18}" text-anchor="middle">{step}</text>')
    for epsilon, curve in curves.items():
        colour = COLOURS[epsilons.index(epsilon) % len(COLOURS)]
        for which, dash in ((2, ""), (1, ' stroke-dasharray="2 3"')):
            points = " ".join(place(point[0], point[which]) for point in curve if point[which] > 0)
            line = f'<polyline points="{points}" fill="none" stroke="{colour}"{dash}/>'
            parts += [line] if points else []
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--table", default="adult_coded", choices=TABLES)
    parser.add_argument("--methods", nargs="+", default=["network", "gan"], choices=EVERY)
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--picture", action="store_true")
    options = parser.parse_args()
    table = table_of(options.table, options.data)
    print("| method | epsilon | step | against released pairs | against the training rows |")
    print("|---|---|---|---|---|")
    curves = {}
    for method, epsilon in itertools.product(options.methods, options.epsilon):
        curves[method, epsilon] = run(table, method, epsilon)
        for step, released, exact in curves[method, epsilon]:
            told = "-" if np.isnan(released) else f"{released:.4f}"
            print(f"| {method} | {epsilon:g} | {step} | {told} | {exact:.4f} |", flush=True)
    if options.picture:
        Path(__file__).with_suffix(".svg").write_text(picture(curves))


if __name__ == "__main__":
    main()
