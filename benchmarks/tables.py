"""Real tables as every generator of the benchmark gets them: whole numbers on one public grid, split once.

The grids are written down here, from data dictionaries and round numbers, not learnt from rows. A generator
sees codes 0, 1, ... and the size of each column; whether a column is ordered is told to those that can use it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Codes = NDArray[np.int64]

HELD_OUT = 5
"""One row in so many is held out: the first of `numpy.random.RandomState(0).permutation(rows)`."""


@dataclass(frozen=True, eq=False)
class Table:
    """Codes, shape (rows, columns), of the training rows and of those held out (None: there are none)."""

    name: str
    domain: Mapping[str, int]
    ordered: tuple[str, ...]
    target: str | None
    train: Codes
    held_out: Codes | None

    def __post_init__(self) -> None:
        sizes = np.array(list(self.domain.values()))
        for codes in (self.train, self.held_out):
            if codes is not None and (codes.min() < 0 or (codes.max(axis=0) >= sizes).any()):
                raise ValueError(f"{self.name}: a code outside its column's domain")

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any row, size or split, so that a stored result is of this very table."""
        facts = json.dumps([dict(self.domain), self.ordered, self.target]).encode()
        return hashlib.sha256(facts + self.train.tobytes()).hexdigest()[:12]


def split(codes: Codes) -> tuple[Codes, Codes]:
    """(training rows, rows held out)."""
    order = np.random.RandomState(0).permutation(len(codes))  # the split of the published figures
    out = len(codes) // HELD_OUT
    return codes[order[out:]], codes[order[:out]]


def adult(folder: Path) -> Table:
    """The 1994 census extract as the graphical-model literature codes it: 48,842 rows, 14 columns."""
    domain = json.loads((folder / "adult_coded-domain.json").read_text())
    codes = pd.read_csv(folder / "adult_coded.csv.gz")[list(domain)].to_numpy(np.int64)
    ordered = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
    return Table("adult_coded", domain, ordered, "income>50K", *split(codes))


NATIONAL = {
    "AGEP": list(range(100)),
    "SEX": [1, 2],
    "MSP": ["N", *range(1, 7)],
    "RAC1P": list(range(1, 10)),
    "HOUSING_TYPE": [1, 2, 3],
    "OWN_RENT": [0, 1, 2],
    "EDU": ["N", *range(1, 13)],
    "PINCP_DECILE": ["N", *range(10)],
    "DVET": ["N", *range(1, 7)],
    "DEYE": [1, 2],
}
"""The ten demographic columns of NIST's excerpts and the values that its data dictionary allows."""


def national(folder: Path) -> Table:
    """NIST's excerpt of the American Community Survey 2019, the ten demographic columns, all 27,253 rows."""
    frame = read(folder / "nist_acs_national2019.csv.gz")
    codes = np.column_stack([listed(frame[name], values) for name, values in NATIONAL.items()])
    sizes = {name: len(values) for name, values in NATIONAL.items()}
    return Table("national2019", sizes, ("AGEP", "EDU", "PINCP_DECILE"), None, codes, None)


def spaced(*parts: tuple[int, int, int]) -> list[int]:
    """First values of cells, from (first, one past the last, width) for each stretch."""
    return [start for first, end, width in parts for start in range(first, end, width)]


MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
BANK: dict[str, list[str]] = {
    "job": [
        "admin.", "blue-collar", "entrepreneur", "housemaid", "management", "retired", "self-employed",
        "services", "student", "technician", "unemployed", "unknown",
    ],
    "marital": ["divorced", "married", "single"],
    "education": ["primary", "secondary", "tertiary", "unknown"],
    "default": ["no", "yes"],
    "housing": ["no", "yes"],
    "loan": ["no", "yes"],
    "contact": ["cellular", "telephone", "unknown"],
    "month": MONTHS,
    "poutcome": ["failure", "other", "success", "unknown"],
    "y": ["no", "yes"],
}  # fmt: skip
BANK_GRID: dict[str, list[int]] = {
    "age": spaced((18, 100, 1)),
    "balance": spaced(
        (-10_000, -2_000, 2_000), (-2_000, -500, 500), (-500, 1_000, 50), (1_000, 5_000, 250),
        (5_000, 20_000, 1_000), (20_000, 120_000, 20_000),
    ),
    "day": spaced((1, 32, 1)),
    "duration": spaced((0, 600, 15), (600, 1_800, 60), (1_800, 6_000, 600)),
    "campaign": spaced((1, 21, 1), (21, 81, 20)),
    "pdays": [-1, *spaced((0, 900, 30))],
    "previous": spaced((0, 21, 1), (21, 321, 100)),
}  # fmt: skip
"""First value of each cell; the last cell is open. -1 in `pdays` means never contacted: a cell of its own."""


def bank(folder: Path) -> Table:
    """UCI Bank Marketing: 45,211 rows, 17 columns, a target that is yes in 11.7 % of them."""
    frame = read(folder / "bank_marketing.csv.gz")
    cells = {**{name: len(v) for name, v in BANK.items()}, **{name: len(s) for name, s in BANK_GRID.items()}}
    domain = {name: cells[name] for name in frame.columns}
    codes = np.column_stack(
        [
            listed(frame[name], BANK[name]) if name in BANK else binned(frame[name], BANK_GRID[name])
            for name in domain
        ]
    )
    return Table("bank_marketing", domain, tuple(n for n in domain if n in BANK_GRID), "y", *split(codes))


def read(path: Path) -> pd.DataFrame:
    """Every value as the text that the file has."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def listed(column: pd.Series, values: list[str] | list[int | str]) -> Codes:
    """The position of each value in the list. ValueError for a value that is not in it."""
    codes = pd.Index([str(value) for value in values]).get_indexer(pd.Index(column))
    if (codes < 0).any():
        raise ValueError(f"column {column.name!r} has a value that is not listed")
    return codes.astype(np.int64)


def binned(column: pd.Series, starts: list[int]) -> Codes:
    """The cell of each number. ValueError for a number below the first cell."""
    codes = np.searchsorted(np.array(starts), column.astype(float).to_numpy(), side="right") - 1
    if (codes < 0).any():
        raise ValueError(f"column {column.name!r} has a number below {starts[0]}")
    return codes.astype(np.int64)


TABLES: Mapping[str, Callable[[Path], Table]] = {
    "adult_coded": adult,
    "national2019": national,
    "bank_marketing": bank,
}


def add_options(parser: argparse.ArgumentParser, epsilon: Sequence[float]) -> None:
    """Which tables, where they are, and at which epsilons; `epsilon` unless told."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the real tables")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--epsilon", nargs="+", type=float, default=list(epsilon))
