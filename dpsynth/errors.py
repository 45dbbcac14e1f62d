"""One exception tree. An error says what, where and what to do; it never quotes a private value."""

from __future__ import annotations

import errno
from typing import ClassVar

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def is_full(problem: OSError) -> bool:
    """Whether the operating system reports a full or failing disk, rather than a wrong or protected path."""
    return problem.errno in _FULL


class DPSynthError(Exception):
    """Base of every error that a user can cause or mend.

    `code` is stable and documented (``DPS-B101``), `problem` says what and where, `fix` says the way out.
    """

    exit_code: ClassVar[int] = 1
    letter: ClassVar[str] = "X"

    def __init__(self, code: str, problem: str, fix: str = "") -> None:
        if not code.startswith(self.letter):
            raise ValueError(f"code {code} does not belong to {type(self).__name__} ({self.letter}...)")
        self.code = f"DPS-{code}"
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}; {fix}" if fix else problem)

    def add(self, fix: str) -> None:
        """A further way out, known only where the error passes."""
        self.fix = f"{self.fix}; {fix}" if self.fix else fix
        self.args = (f"{self.problem}; {self.fix}",)

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "problem": self.problem, "fix": self.fix}


class UsageError(DPSynthError):
    """A command or call that cannot mean anything (exit 2)."""

    exit_code = 2
    letter = "U"


class SchemaError(DPSynthError):
    """The project file or schema is invalid (exit 3)."""

    exit_code = 3
    letter = "S"


class DataError(DPSynthError):
    """The data does not fit the schema (exit 4)."""

    exit_code = 4
    letter = "D"


class BudgetError(DPSynthError):
    """The privacy budget does not allow it, or the promise makes no sense (exit 5)."""

    exit_code = 5
    letter = "B"


class AuditError(DPSynthError):
    """An audit or the policy gate refused (exit 6)."""

    exit_code = 6
    letter = "A"


class VerifyError(DPSynthError):
    """A bundle, model or ledger is not what it was when it was written (exit 7)."""

    exit_code = 7
    letter = "V"


class CapacityError(DPSynthError):
    """It would exceed memory, cells or disk (exit 8)."""

    exit_code = 8
    letter = "C"
