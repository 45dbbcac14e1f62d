"""A model without some of the rules between its columns: for rows that these would not let be drawn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from dpsynth.errors import UsageError
from dpsynth.model.fitted import FittedModel


def without_rules(model: FittedModel, numbers: Collection[int]) -> FittedModel:
    """The same model, whose rows need not keep the rules of these numbers, counted from 1 in the order of the project file.
    What a rule made impossible in the fit stays so. Costs nothing. It is for use inside: under its other id it would be a
    way around a block of the model, so that it cannot be released.

    Raises UsageError (U277) for a number of no rule.
    """
    if not numbers:
        return model
    rules = model.schema.constraints
    for number in sorted(numbers):
        if not 1 <= number <= len(rules):
            raise UsageError(
                "U277",
                f"the model has no rule {number}: it has {len(rules)}",
                "count the constraints of the project file from 1",
            )
    kept = tuple(rule for number, rule in enumerate(rules, 1) if number not in numbers)
    schema = model.schema.model_copy(update={"constraints": kept})
    return replace(model, schema=schema, receipt=replace(model.receipt, releasable=False))
