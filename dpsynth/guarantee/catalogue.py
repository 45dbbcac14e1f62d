"""The catalogue of planted bugs: what each is, and which audit must catch it.

Each is applied to the real code in `tests/guarantee/test_planted_bugs.py`, under its name here. A *statistical* bug is
caught by a lower bound above the claim, a *structural* one by a fault that names the check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["statistical", "structural"]


@dataclass(frozen=True)
class Bug:
    """`audit`: the function that catches it; `check`: the bound's subject or the fault's check that must speak."""

    name: str
    words: str
    kind: Kind
    audit: str
    check: str


WHITE, STRUCTURE = "audit_method", "audit_structure"
CHOICES, GRADIENTS, DISCOVERY = "audit_choices", "audit_gradients", "audit_discovery"

CATALOGUE: tuple[Bug, ...] = (
    Bug(
        "halved_noise",
        "the noise of all counts is half of what was charged",
        "statistical",
        WHITE,
        "mst: chosen pairs",
    ),
    Bug(
        "noise_of_another_step",
        "one-way marginals get the smaller noise of the pairs",
        "statistical",
        WHITE,
        "one-way marginals",
    ),
    Bug(
        "count_without_noise",
        "one of the counts is released exactly",
        "statistical",
        WHITE,
        "one-way marginals: smoker",
    ),
    Bug("skipped_charge", "measurements are not charged", "structural", WHITE, "charges as planned"),
    Bug(
        "late_charge",
        "rows are counted before the charge is made",
        "structural",
        WHITE,
        "charge before count",
    ),
    Bug("understated_charge", "twice the noise is charged than comes", "structural", WHITE, "stated noise"),
    Bug("unclipped_person", "all rows of a person are counted", "statistical", WHITE, "the whole run"),
    Bug(
        "rows_per_unit_forgotten_in_one_step",
        "the noise of the pairs is made for units of one row",
        "statistical",
        WHITE,
        "mst: chosen pairs",
    ),
    Bug("rows_counted_as_units", "the histogram of units counts rows", "structural", WHITE, "sensitivity"),
    Bug(
        "monotonic_selection",
        "choices take the coefficient of monotone scores",
        "statistical",
        CHOICES,
        "choice: select",
    ),
    Bug("selection_without_noise", "the best candidate is taken", "structural", CHOICES, "range of a choice"),
    Bug(
        "weights_forgotten_in_choice",
        "a weighted score is treated like one of weight 1",
        "statistical",
        CHOICES,
        "choice: choose_and_measure",
    ),
    Bug(
        "domain_from_data",
        "a column's bound is the largest value of the table",
        "structural",
        STRUCTURE,
        "one door",
    ),
    Bug(
        "exact_row_count",
        "the default number of rows is that of the table",
        "structural",
        STRUCTURE,
        "one door",
    ),
    Bug(
        "seedable_noise",
        "noise comes from a generator that a user can seed",
        "structural",
        STRUCTURE,
        "secret noise",
    ),
    Bug(
        "raw_value_kept", "the model keeps one raw value of a column", "structural", STRUCTURE, "nothing raw"
    ),
    Bug(
        "raw_rows_kept", "the model keeps the table it was fitted to", "structural", STRUCTURE, "nothing raw"
    ),
    Bug(
        "sample_that_refits",
        "each sample counts the private rows again",
        "structural",
        STRUCTURE,
        "free sampling",
    ),
    Bug("hold_out_not_held_out", "held-out people are counted too", "structural", STRUCTURE, "hold-out"),
    Bug(
        "fixed_batches",
        "batches of one size are charged as coins",
        "structural",
        GRADIENTS,
        "batches as accounted",
    ),
    Bug(
        "larger_batches",
        "more units are in a batch than charged",
        "structural",
        GRADIENTS,
        "batches as accounted",
    ),
    Bug(
        "half_the_steps_charged",
        "twice the charged steps are made",
        "structural",
        GRADIENTS,
        "steps as accounted",
    ),
    Bug(
        "unclipped_gradient",
        "gradients are summed as they come",
        "statistical",
        GRADIENTS,
        "one gradient sum",
    ),
    Bug(
        "gradient_clipped_by_row",
        "each row may move a sum by the clip",
        "statistical",
        GRADIENTS,
        "one gradient sum",
    ),
    Bug(
        "infinite_gradient",
        "a gradient that is not finite is summed",
        "structural",
        GRADIENTS,
        "clipped gradient",
    ),
    Bug("halved_gradient_noise", "noise of sums is half", "statistical", GRADIENTS, "one gradient sum"),
    Bug(
        "aliased_networks", "a generator trains on the critic's own memory", "structural", "shared", "shared"
    ),
    Bug(
        "discovery_without_noise",
        "values are released from exact numbers",
        "statistical",
        DISCOVERY,
        "discovery of values",
    ),
    Bug(
        "low_threshold",
        "a lone unit's value is released too often",
        "structural",
        DISCOVERY,
        "discovery threshold",
    ),
    Bug(
        "values_of_a_unit_unbounded",
        "a unit with many rows counts for many values",
        "structural",
        DISCOVERY,
        "sensitivity",
    ),
)


def as_markdown() -> str:
    """The catalogue as a table, for the documentation."""
    lines = ["| planted bug | what it does | kind | caught by | what speaks |", "|---|---|---|---|---|"]
    lines += [
        f"| `{bug.name}` | {bug.words} | {bug.kind} | `{bug.audit}` | {bug.check} |" for bug in CATALOGUE
    ]
    return "\n".join(lines) + "\n"
