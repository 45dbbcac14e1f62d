"""The evaluation and the public intervals on real tables.

    python benchmarks/evaluation.py nist TABLE.csv       NIST's published scores of subsamples, reproduced
    python benchmarks/evaluation.py intervals TABLE.csv  how often intervals hold the truth, over repeated fits
    python benchmarks/evaluation.py speed TABLE.csv      seconds of the evaluation and of both reports

`nist` needs NIST's national2019 excerpt (Diverse Communities Data Excerpts, American Community Survey). The
others draft a schema from the table itself, which is what one must not do with a private one.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path[0] = str(Path(__file__).parents[1])  # attacks.py beside this file is not the package
from dpsynth import Budget, Ledger, Schema, draft, fit, run_release  # noqa: E402
from dpsynth.consistency import Conditions, consistency, interval, noisy_total  # noqa: E402
from dpsynth.consistency.bands import bands, bars_of  # noqa: E402
from dpsynth.consistency.tables import record_shares, together  # noqa: E402
from dpsynth.domain import Domain  # noqa: E402
from dpsynth.encoding import Encoding  # noqa: E402
from dpsynth.evaluation.marginals import Sample, cell_index, shares, total_variation  # noqa: E402
from dpsynth.evaluation.score import score_of  # noqa: E402
from dpsynth.measurement import Measurement  # noqa: E402
from dpsynth.pipeline import Settings  # noqa: E402
from dpsynth.records import Records  # noqa: E402
from dpsynth.release import ReleaseFields  # noqa: E402
from dpsynth.table import read_table  # noqa: E402

NIST_COLUMNS = [
    "AGEP", "SEX", "MSP", "RAC1P", "HOUSING_TYPE", "OWN_RENT", "EDU", "PINCP_DECILE", "DVET", "DEYE",
]  # fmt: skip
NIST_AGES = (5, 9, 14, 18, 21, 25, 29, 32, 36, 40, 45, 49, 53, 57, 61, 64, 68, 72, 79)
"""Where NIST's score cuts age."""
NIST_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NIST_SCORES = {
    "aim_e_1_demographic": (902, 946, 969, 977, 984, 987, 989, 992, 993, 994, 996),
    "mst_e_1_demographic_na2019": (898, 954, 969, 977, 983, 987, 989, 992, 993, 994, 996),
    "k_anonymity_k_6_demographic_focused_na2019": (896, 959, 971, 978, 983, 989, 990, 991, 993, 994, 996),
    "patectgan_e_10_demographic_focused_na2019": (907, 956, 969, 979, 983, 987, 990, 991, 993, 994, 996),
}
"""k-marginal scores of random subsamples without replacement, one draw each, for NIST_SHARES of the same table and
columns: the four sample reports of SDNist 2.5 (February 2025) on these columns, table "Sampling Error Comparison"."""


def nist(path: Path, repeats: int) -> None:
    """Scores of single random subsamples of the table against the table, beside NIST's single draws."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)[NIST_COLUMNS]
    codes = {name: pd.factorize(frame[name], sort=True)[0] for name in NIST_COLUMNS}
    codes["AGEP"] = np.searchsorted(NIST_AGES, frame["AGEP"].astype(int), side="right")
    sizes = {name: int(code.max()) + 1 for name, code in codes.items()}
    sample = Sample.of(Records.of(Domain.from_sizes(sizes), codes))
    pairs = list(itertools.combinations(NIST_COLUMNS, 2))
    rng = np.random.default_rng(1)
    print(
        f"{len(frame)} rows, {len(pairs)} pairs; {repeats} subsamples of ours, {len(NIST_SCORES)} of NIST's"
    )
    print(
        "share  NIST: mean (draws)           ours: mean (99 % of draws)  difference (standard error)  NIST's outside"
    )
    for position, share in enumerate(NIST_SHARES):
        published = [scores[position] for scores in NIST_SCORES.values()]
        ours = np.array([_subsample_score(sample, pairs, share, rng) for _ in range(repeats)])
        low, high = np.quantile(ours, [0.005, 0.995], method="inverted_cdf")
        error = float(ours.std() / np.sqrt(len(published)))  # of the mean of so few draws
        mean, outside = float(np.mean(published)), sum(not low <= one <= high for one in published)
        print(
            f"{share:5.0%}  {mean:6.1f} ({', '.join(map(str, published))})  {ours.mean():6.1f} ({low:.0f} to {high:.0f})"
            f"  {ours.mean() - mean:+10.1f} ({error:.1f})  {outside} of {len(published)}"
        )


def _subsample_score(
    sample: Sample, pairs: Sequence[tuple[str, ...]], share: float, rng: np.random.Generator
) -> int:
    """The score of one random share of the units, drawn without replacement, against all of them."""
    weights = sample.subsample(rng, share)
    errors = []
    for pair in pairs:
        (index,), cells = cell_index(pair, [sample.records])
        errors.append(total_variation(shares(index, cells, weights), shares(index, cells)))
    return score_of(float(np.mean(errors)))


def drafted(path: Path) -> Schema:
    """The table's own values as its schema: fine for a public table in a benchmark, never for a private one."""
    plain = yaml.safe_load(draft.draft_by_inspection(path))
    columns = {
        name: {key: value for key, value in column.items() if key not in ("origin", "was")}
        for name, column in plain["columns"].items()
        if column["type"] != "TODO"
    }
    return Schema(columns=columns, missing_values=plain["data"]["missing_values"])


def intervals(path: Path, method: str, epsilon: float, fits: int, questions: int) -> None:
    """Over repeated fits: random questions with the same answer every time, and each measured marginal."""
    schema = drafted(path)
    table = read_table(path, schema)
    encoding = Encoding(schema)
    records = encoding.encode(table)
    rng = np.random.default_rng(1)
    held: dict[str, list[bool]] = {"measured": [], "bounds": []}
    width, guess_off, marginals, bars = [], [], [], []
    for _ in range(fits):
        model = fit(path, schema, method=method, epsilon=epsilon, delta=1e-9)
        synthetic = model.sample_records(len(records), rng)
        total, _ = noisy_total(model.measurements)
        cliques = [m.clique for m in model.measurements]
        for conditions in _asked(records, cliques, rng, questions):
            found = interval(model.measurements, schema, conditions)
            truth = _count(records, conditions)
            held[found.basis].append(found.low <= truth <= found.high)
            if found.basis == "measured":
                width.append((found.high - found.low) / 2)
            else:
                guess_off.append(abs(_count(synthetic, conditions) * total / len(synthetic) - truth))
        marginals += _marginals(records, model.measurements, total, synthetic)
        bars += _bars(records, model.measurements, synthetic, encoding)
    rows = len(records)
    print(f"{path.name}: {rows} rows, {method}, epsilon {epsilon:g}, {fits} fits, {questions} questions each")
    print(
        f"measured together: {_share(held['measured'])} hold the truth; half width {np.mean(width):.0f} rows"
    )
    print(f"never counted together: {_share(held['bounds'])} hold it (Frechet bounds)")
    if guess_off:
        off = np.array(guess_off)
        print(f"  the synthetic rows' own answer there is off by {off.mean():.0f} rows on average")
        print(f"  an interval of the usual half width would have held {np.mean(off <= np.mean(width)):.1%}")
    print(f"measured marginals: {_share(marginals)} keep their 99 % bound")
    print(f"bars of single columns: {_share(bars)} hold the true share (95 %)")


def _share(held: list[bool]) -> str:
    return f"{np.mean(held):.1%} of {len(held)}" if held else "none of 0"


def _asked(
    records: Records, cliques: list[tuple[str, ...]], rng: np.random.Generator, questions: int
) -> Iterator[Conditions]:
    """Half of them about columns of one measured clique, half about one to three random columns."""
    names = records.domain.attributes
    for number in range(questions):
        if number % 2:
            columns = cliques[int(rng.integers(len(cliques)))]
        else:
            columns = tuple(rng.choice(names, int(rng.integers(1, 4)), replace=False).tolist())
        masks = {name: rng.random(records.domain[name]) < rng.uniform(0.05, 0.95) for name in columns}
        yield Conditions(masks, masks)


def _count(records: Records, conditions: Conditions) -> int:
    keep = np.ones(len(records), dtype=bool)
    for name, mask in conditions.inner.items():
        keep &= mask[records[name]]
    return int(keep.sum())


def _marginals(
    records: Records, measurements: Sequence[Measurement], total: float, synthetic: Records
) -> list[bool]:
    said = {
        (c.clique, c.merged, c.cells): c for c in consistency(synthetic, measurements, records.domain).cliques
    }
    kept = []
    for one, values in together(measurements):
        merged = tuple(a for a in one.clique if a in one.merges)
        truth = record_shares(records, one.clique, one.merges)
        error = float(np.abs(values / total - truth).sum() / 2)
        kept.append(error <= said[one.clique, merged, values.size].error_99)
    return kept


def _bars(
    records: Records, measurements: Sequence[Measurement], synthetic: Records, encoding: Encoding
) -> list[bool]:
    """Whether each bar of the public page's columns holds the true share."""
    held = []
    for band in bands(synthetic, measurements, encoding):
        bar = bars_of(band.column, synthetic, measurements, encoding)
        true = np.bincount(bar[records[band.column]], minlength=len(band.labels)) / len(records)
        held += [bool(low <= t <= high) for low, t, high in zip(band.low, true, band.high, strict=True)]
    return held


def speed(path: Path) -> None:
    """Seconds of the steps of a release; the attacks run as well and are not counted."""
    schema = drafted(path)
    rows = len(pd.read_csv(path))
    marks: dict[str, list[tuple[float, float]]] = {}

    def note(step: str, done: float) -> None:
        marks.setdefault(step, []).append((time.perf_counter(), time.process_time()))

    human = ReleaseFields(
        purpose="benchmark",
        recipient="nobody",
        lawful_basis="public data",
        contact="nobody",
        prohibited_uses=("anything",),
        approver="nobody",
        review_date="2100-01-01",
        bounds_decided_by="nobody",
    )
    with tempfile.TemporaryDirectory() as folder:
        budget = Budget(1.0, 1e-9)
        with Ledger.open(Path(folder, "a.ledger"), dataset="benchmark", promise=budget) as ledger:
            made = run_release(
                path,
                schema,
                method="mst",
                epsilon=1.0,
                ledger=ledger,
                out=Path(folder, "release"),
                settings=Settings(rows=rows, human=human),
                progress=note,
            )
        for page in sorted(made.folder.glob("*/report.html")):
            print(f"{page.parent.name}/report.html: {page.stat().st_size:,} bytes")
    print(f"{path.name}: {rows} x {len(schema.written)}, as many synthetic rows")
    for step in ("evaluating", "writing the bundle"):
        (first, cpu), (last, cpu_after) = marks[step][0], marks[step][-1]
        print(f"{step}: {last - first:.1f} s, {cpu_after - cpu:.1f} CPU-s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("nist", "intervals", "speed"))
    parser.add_argument("table", type=Path)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--method", default="mst")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--fits", type=int, default=20)
    parser.add_argument("--questions", type=int, default=100)
    asked = parser.parse_args()
    if asked.what == "nist":
        nist(asked.table, asked.repeats)
    elif asked.what == "intervals":
        intervals(asked.table, asked.method, asked.epsilon, asked.fits, asked.questions)
    else:
        speed(asked.table)


if __name__ == "__main__":
    main()
