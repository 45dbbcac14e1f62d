"""One run's account, and a grant inside it: what may be charged, and in which order.

The whole cost of a run is in the ledger, durably, before these objects exist. What they enforce is that the
run does exactly what was paid for: every planned charge, in order, each once.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import NoReturn, Protocol

from dpsynth.errors import BudgetError
from dpsynth.privacy import filters
from dpsynth.privacy.events import BoundedRange, Charge, DiscreteGaussian, Event, GdpGrant, ZcdpGrant, flatten
from dpsynth.privacy.ledger_book import RunRecord
from dpsynth.privacy.receipt import Receipt


class Account(Protocol):
    """Whoever answers for privacy: takes a charge, or refuses with BudgetError before any row is read."""

    def charge(self, purpose: str, event: Event) -> None: ...


@dataclass(frozen=True)
class Notice:
    """Something the operator should know; not an error. `kind` is stable, `text` is one sentence or two."""

    kind: str
    text: str


class _Handle:
    """A live permission to spend: it belongs to one process and cannot be pickled, copied or forked.

    Threads take turns: two that look at the same rest at once would both find that their charge fits.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._turn = threading.RLock()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise BudgetError(
                "B215",
                "this run belongs to another process",
                "two processes would spend the same reservation twice: reserve a run in each",
            )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an account cannot be pickled or copied: what it allows could be spent twice")


class Run(_Handle):
    """A reservation, made by `Ledger.reserve`. As a context manager it commits at the end of the block and
    records "failed" when the block raises; a process that dies leaves it open. It is spent in every case.

    `charge` accepts exactly the planned charges, in order, each once.
    """

    def __init__(
        self,
        record: RunRecord,
        notices: tuple[Notice, ...],
        end: Callable[[str, str, int, bool], None],
        receipt: Callable[[bool], Receipt],
    ) -> None:
        super().__init__()
        self.id = record.id
        self.plan = record.charges
        self.notices = notices
        self.seeded = False
        self._made = 0
        self._outcome: str | None = None
        self._grant: Grant | None = None
        self._end = end
        self._make_receipt = receipt

    @property
    def outcome(self) -> str | None:
        """None while it runs; then "complete", "incomplete" (planned charges not made) or "failed"."""
        return self._outcome

    @property
    def outstanding(self) -> tuple[Charge, ...]:
        """The planned charges not made yet."""
        return self.plan[self._made :]

    def charge(self, purpose: str, event: Event) -> None:
        """Make the next planned charge. BudgetError B213 when it differs from the plan, B214 after the
        end."""
        if isinstance(event, ZcdpGrant | GdpGrant):
            raise BudgetError("B217", f"charge {purpose!r} is a grant", "open it with grant(purpose)")
        self._advance(purpose, event)

    def grant(self, purpose: str) -> Grant:
        """Open the next planned charge, which must be a grant of this purpose. The next charge closes it."""
        self._check_open()
        with self._turn:
            planned = self.outstanding[0].event if self.outstanding else None
            if not isinstance(planned, ZcdpGrant | GdpGrant):
                problem = f"no grant {purpose!r} is planned next"
                raise BudgetError("B217", problem, "plan a grant before the run")
            self._advance(purpose, planned)
            self._grant = Grant(purpose, planned)
            return self._grant

    def taint(self) -> None:
        """State that noise in this run was seeded (tests): its receipt will never be releasable."""
        self.seeded = True

    def commit(self) -> None:
        """Record the end. Charges planned but not made are recorded as such; they stay spent."""
        self._finish("incomplete" if self.outstanding else "complete")

    def receipt(self) -> Receipt:
        """What this run spent; equal each time it is asked for, but for the ledger's head."""
        return self._make_receipt(self.seeded)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outcome is not None or os.getpid() != self._process:
            return
        if kind is None:
            self.commit()
        else:
            self._finish("failed")

    def _advance(self, purpose: str, event: Event) -> None:
        with self._turn:
            self._advance_alone(purpose, event)

    def _advance_alone(self, purpose: str, event: Event) -> None:
        self._check_open()
        if not self.outstanding:
            raise BudgetError(
                "B213", f"charge {purpose!r} was not planned", "plan every charge before the run"
            )
        planned = self.outstanding[0]
        if (purpose, event) != (planned.purpose, planned.event):
            raise BudgetError(
                "B213",
                f"charge {self._made + 1} of the run is {purpose!r}, planned was {planned.purpose!r}"
                + (" with other parameters" if purpose == planned.purpose else ""),
                "a run does exactly what was reserved, in the same order",
            )
        if self._grant is not None:
            self._grant.close()
        self._made += 1

    def _check_open(self) -> None:
        self._check_process()
        if self._outcome is not None:
            raise BudgetError("B214", "this run has ended", "reserve a new one")

    def _finish(self, outcome: str) -> None:
        self._check_open()
        if self._grant is not None:
            self._grant.close()
        self._outcome = outcome
        self._end(self.id, outcome, self._made, self.seeded)


class Grant(_Handle):
    """A filter inside one planned grant: charges may be chosen one after the other, as results come in.

    A ZcdpGrant bounds the sum of rho, a GdpGrant the sum of mu**2 (theorems: `filters`). The planned event
    decides which, and nothing changes it afterwards. Sums are exact; no grant is opened inside a grant.
    """

    def __init__(self, purpose: str, event: ZcdpGrant | GdpGrant) -> None:
        super().__init__()
        self.purpose = purpose
        self.event = event
        # Every mu is priced too high by a factor gaussian.SAFETY (1e-9). A part of that is given back, so
        # that a grant planned as the float root of its own steps' squares holds these steps.
        given_back = 1 + Fraction(1, 10**10)
        if isinstance(event, ZcdpGrant):
            self._whole = Fraction(event.rho)
        else:
            self._whole = Fraction(event.mu) ** 2 * given_back
        self._spent = Fraction(0)
        self._open = True

    @property
    def remaining(self) -> float:
        """What is left, never rounded up: rho of a zCDP grant, mu**2 of a Gaussian one."""
        return math.nextafter(float(self._whole - self._spent), 0.0)

    def fits(self, event: Event) -> bool:
        return self._spent + self._price(event) <= self._whole

    def charge(self, purpose: str, event: Event) -> None:
        """Spend a part. BudgetError B216 when it does not fit, B306 when the filter has no price for it;
        nothing is spent then."""
        self._check_process()
        with self._turn:
            self._charge_alone(purpose, event)

    def _charge_alone(self, purpose: str, event: Event) -> None:
        if not self._open:
            raise BudgetError("B214", f"the grant {self.purpose!r} is closed", "charge it in its stage")
        if not self.fits(event):
            raise BudgetError(
                "B216",
                f"charge {purpose!r} would overspend the grant {self.purpose!r}",
                "ask for less, stop here, or plan a larger grant",
            )
        self._spent += self._price(event)

    def close(self) -> None:
        with self._turn:
            self._open = False

    def _price(self, event: Event) -> Fraction:
        if any(isinstance(part, ZcdpGrant | GdpGrant) for part in flatten([event])):
            raise BudgetError("B219", "a grant cannot be charged to a grant", "charge what it would do")
        if isinstance(self.event, GdpGrant):
            return Fraction(filters.gdp_mu([event])) ** 2
        return sum((_rho(part) for part in flatten([event])), Fraction(0))


def _rho(event: Event) -> Fraction:
    """The zCDP price of one event; of noise and choices without any rounding, so that equal parts of a grant
    that fill it on paper fill it here."""
    match event:
        case DiscreteGaussian(sigma, k, count):
            return count * (k / Fraction(sigma)) ** 2 / 2
        case BoundedRange(epsilon, count):
            return count * Fraction(epsilon) ** 2 / 8
        case _:
            return Fraction(filters.zcdp_rho([event]))
