"""What every kind of column declares: where its facts come from, and how it writes what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import model_validator

from dpsynth.declared import Declared, Fault, Text
from dpsynth.discovery import check_origin

Origin = Literal["public", "inspected", "dp"]
MAX_TEXT = 1000


class AnyColumn(Declared):
    """What every column has. `origin` says how its bounds or values became known; `learnt` names the charge that paid for
    them; `was`: how they became known before they were called public (`searched`: what a run learnt of them is not used)."""

    origin: Origin = "public"
    was: Literal["inspected", "searched"] | None = None
    reason: Text | None = None
    learnt: Text | None = None

    @property
    def unknown(self) -> bool:
        """Whether its bounds or values are still to be discovered."""
        return getattr(self, "discover", None) is not None

    @property
    def modelled(self) -> bool:
        return True

    @model_validator(mode="after")
    def _check_origin(self) -> AnyColumn:
        check_origin(self.origin, self.unknown, self.learnt)
        if self.was and self.origin == "public" and not (self.reason or "").strip():
            raise Fault("S131", f"was {self.was} and is now called public", "say why in 'reason'")
        return self


class ModelledColumn(AnyColumn):
    missing: bool = False
    """Whether a value may be missing; then "missing" is one more cell, the last."""
    missing_values: tuple[Text, ...] | None = None
    """How this column writes "missing" (``N`` for not applicable); None: as the file does."""

    @model_validator(mode="before")
    @classmethod
    def _imply_missing(cls, data: Any) -> Any:
        return {"missing": True, **data} if isinstance(data, dict) and data.get("missing_values") else data

    def markers(self, of_file: Sequence[str]) -> tuple[str, ...]:
        return tuple(of_file) if self.missing_values is None else self.missing_values


def clean_text(value: str, what: str) -> str:
    """`value`, or Fault (S125) for a text that could not be read back."""
    if len(value) > MAX_TEXT:
        raise Fault("S125", f"{what} is longer than {MAX_TEXT} characters", "shorten it")
    if value != value.strip():
        raise Fault(
            "S125",
            f"{what} begins or ends with a space",
            "remove it: surrounding spaces are ignored when reading",
        )
    if any(ord(c) < 32 or c == "\x85" or 0xD800 <= ord(c) < 0xE000 for c in value):  # YAML folds \x85
        raise Fault("S125", f"{what} holds a control character", "remove it")
    return value
