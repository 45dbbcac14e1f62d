"""The plan on paper follows from the figures on the same pages."""

from __future__ import annotations

from benchmarks import large_plan


def test_the_page_has_the_plan_of_its_own_figures() -> None:
    page = (large_plan.HERE / "large.md").read_text(encoding="utf-8")
    assert large_plan.table(1e10, 20) in page


def test_a_plan_is_rows_times_costs_by_machines() -> None:
    (once, *_), (twice, *_) = (large_plan.table(1e6, n).splitlines()[2:] for n in (1, 2))
    whole, half = (float(line.split("|")[4]) for line in (once, twice))
    assert whole > 0
    assert abs(whole - 2 * half) <= 0.02 * whole
