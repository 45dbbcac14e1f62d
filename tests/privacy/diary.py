"""An account that writes down what was charged and when: what audits of the door watch."""

from __future__ import annotations

from dpsynth.errors import BudgetError
from dpsynth.privacy.events import Event


class Diary:
    """The order of events in `lines`, to which a watched engine adds its own. `refuses`: every charge, as a ledger that
    is used up."""

    def __init__(self, refuses: bool = False) -> None:
        self.lines: list[str] = []
        self.charged: list[Event] = []
        self.refuses = refuses

    def charge(self, purpose: str, event: Event) -> None:
        if self.refuses:
            raise BudgetError("B999", "spent")
        self.lines.append("charge")
        self.charged.append(event)
