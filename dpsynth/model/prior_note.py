"""What is remembered of a public table that a model began from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PriorNote:
    """A table that a person declared public: the file's name and hash, its rows, and why it is public."""

    name: str
    rows: int
    sha256: str
    reason: str

    def __post_init__(self) -> None:
        texts = isinstance(self.name, str) and isinstance(self.reason, str) and self.reason.strip()
        whole = isinstance(self.rows, int) and not isinstance(self.rows, bool) and self.rows > 0
        if not texts or not whole or not re.fullmatch("[0-9a-f]{64}", str(self.sha256)):
            raise ValueError("a public table has a name, rows, a hash and a reason")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> PriorNote:
        """The inverse of `as_json`; TypeError or ValueError for anything else."""
        return cls(**fields)
