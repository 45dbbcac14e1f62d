"""How the rows of one unit follow each other, as a person declares it: rules of a simulation, public knowledge.

    constraints:
      - advance: {year: 1}                       each row one more than the row before: no gaps
      - advance: {age: year}                     grows by as much as the other column does
      - rising: stage                            never goes back (falling: never grows)
      - absorbing: {status: [dead, left]}        a value that, once reached, stays
      - last: {status: dead}                     no row comes after it
      - rows: {min: 2, max: 4}                   so many rows a unit has

They need a unit with several rows and an `order`, in which its rows stand.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from dpsynth.declared import Declared, Fault, Text, Whole

STEPS = ("advance", "rising", "falling", "absorbing", "last", "rows")
"""The kinds of rules about the rows of a unit."""


class UnitRows(Declared):
    """How many rows a unit has."""

    min: Annotated[Whole, Field(ge=1, le=10_000)] = 1
    max: Annotated[Whole, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def _check(self) -> UnitRows:
        if self.max is not None and self.max < self.min:
            raise Fault("S179", "rows: min is above max", "swap them")
        return self


class Stepping(Declared):
    """The fields of a rule about the rows of a unit; at most one of them is given."""

    advance: dict[Text, int | Text] | None = None
    rising: Text | None = None
    falling: Text | None = None
    absorbing: dict[Text, tuple[Text, ...]] | None = None
    last: dict[Text, tuple[Text, ...]] | None = None
    rows: UnitRows | None = None

    @field_validator("absorbing", "last", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {k: tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in given.items()}
        return given

    @model_validator(mode="after")
    def _one_column(self) -> Stepping:
        for kind in ("advance", "absorbing", "last"):
            if (given := getattr(self, kind)) is not None and len(given) != 1:
                raise Fault("S179", f"{kind} is not about one column", "write a rule for each")
        return self

    @property
    def stepping(self) -> str | None:
        """Which kind of rule about a unit's rows it is, if any."""
        return next((kind for kind in STEPS if getattr(self, kind) is not None), None)

    @property
    def stepped(self) -> str | None:
        """The column whose values follow each other by the rule; None for a number of rows."""
        given = getattr(self, self.stepping or "", None)
        if isinstance(given, dict):
            return str(next(iter(given)))
        return given if isinstance(given, str) else None

    @property
    def step_columns(self) -> tuple[str, ...]:
        """Every column that the rule names; the one whose values follow each other last."""
        tied = [by for by in (self.advance or {}).values() if isinstance(by, str)]
        return (*tied, *([] if self.stepped is None else [self.stepped]))

    @property
    def step_words(self) -> str:
        """The rule for people."""
        match self.stepping:
            case "advance":
                ((name, by),) = (self.advance or {}).items()
                return (
                    f"{name} grows by {by} from row to row"
                    if isinstance(by, int)
                    else f"{name} grows as {by} does"
                )
            case "rising" | "falling":
                return f"{self.stepped} never {'falls' if self.rising else 'grows'} within a unit"
            case "absorbing" | "last":
                ((name, values),) = (self.absorbing or self.last or {}).items()
                after = "stays so" if self.absorbing else "has no row after it"
                return f"once {name} is {' or '.join(values)} it {after}"
            case _:
                assert self.rows is not None
                most = "" if self.rows.max is None else f" to {self.rows.max}"
                return f"a unit has {self.rows.min}{most} rows" + ("" if most else " or more")
