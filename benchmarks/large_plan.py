"""The costs of a row in large.md and spark.md, times so many rows on so many machines: a plan, of which nothing is run.

    python -m benchmarks.large --plan 1e10 --machines 20

Costs of a row are those of the largest number of rows in each table; those of Spark are what a row more costs, from the two
numbers of rows in its table, because its start-up does not grow.
"""

from __future__ import annotations

import re
from pathlib import Path

CORES = 16
HERE = Path(__file__).resolve().parent
HEAD = "| | a row, microseconds | each machine, CPU-s | with {cores} cores, seconds |\n|---|---|---|---|"


def table(rows: float, machines: int, cores: int = CORES) -> str:
    """The plan as a table of markdown."""
    lines = [HEAD.format(cores=cores)]
    for step, cost in costs().items():
        each = rows * cost / 1e6 / machines
        lines.append(f"| {step} | {cost:.2g} | {each:,.0f} | {_short(each / cores)} |")
    return "\n".join(lines)


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"


def costs() -> dict[str, float]:
    """Microseconds of a row, by step."""
    large = (HERE / "large.md").read_text(encoding="utf-8")
    alone, persons = (_of_large(part) for part in large.split("## Where people have several rows"))
    rows, met = (HERE / "spark.md").read_text(encoding="utf-8").split("## Where people have several rows")
    spark = _of_spark(rows)
    return {
        "read, check, encode, split, write (DuckDB, a row a person)": alone[0],
        "with 5 rows a person, which are brought together": persons[0],
        "one pass over all pairs of 14 columns": alone[1],
        "the same on Spark, a row a person: read, check, encode, split": spark["reading"],
        "with 5 rows a person": _of_spark(met)["reading"],
        "one pass over all pairs and 20 triples on Spark": spark["again"],
    }


def _of_large(page: str) -> tuple[float, float]:
    """Of streaming and of all pairs, for the most rows in the first table of a page."""
    found = re.findall(
        r"^\| ([\d,]+) \|(?: [\d,]+ \|)? ([\d.]+) \| ([\d.]+) \| [\d.]+ \| \d+ \|$", page, re.M
    )
    most, *seconds = max(found, key=lambda line: _number(line[0]))
    streaming, pairs = (1e6 * float(one) / _number(most) for one in seconds)
    return streaming, pairs


def _of_spark(page: str) -> dict[str, float]:
    """What a row more costs, by step, from the fewest and the most rows in the first table of a page."""
    first = page.split("## ", 1)[0]
    found: dict[str, list[tuple[float, float]]] = {}
    for rows, step, seconds in re.findall(r"^\| ([\d,]+) \| (\w+) \| [\d.]+ \| ([\d.]+) \|", first, re.M):
        found.setdefault(step, []).append((_number(rows), float(seconds)))
    slopes = {}
    for step, measured in found.items():
        (few, less), (many, more) = min(measured), max(measured)
        slopes[step] = 1e6 * (more - less) / (many - few)
    return slopes


def _number(text: str) -> float:
    return float(text.replace(",", ""))
