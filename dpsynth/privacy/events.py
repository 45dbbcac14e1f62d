"""What can spend privacy, as plain values: the only thing an account stores, prices and sums.

An event documents everything that its accountants must know and nothing about the data. It is stored as
JSON with every float in full, so that a ledger recomputes its totals from events for ever.

*Unit and neighbours*: everywhere, one unit is added or removed (DESIGN decision 1). A `sensitivity` of
``k`` means that a unit holds at most ``k`` rows, so that it moves one marginal by an integer vector of L1
norm at most ``k``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from dpsynth.errors import BudgetError


def _bad(kind: str, field: str, wanted: str) -> BudgetError:
    return BudgetError(
        "B301", f"event '{kind}': {field} is not {wanted}", "a charge must state what it really does"
    )


class _Checked:
    """Field checks shared by all events; each event calls them for its own fields."""

    kind: ClassVar[str]

    def _positive(self, field: str) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(self.kind, field, "a number")
        if not (math.isfinite(value) and value > 0):
            raise _bad(self.kind, field, "positive and finite")

    def _whole(self, field: str) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _bad(self.kind, field, "a whole number of at least 1")

    def _probability(self, field: str, *, one: bool = False) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(self.kind, field, "a number")
        if not (0 <= value < 1 or (one and value == 1)):
            raise _bad(self.kind, field, "a probability below 1")


@dataclass(frozen=True)
class DiscreteGaussian(_Checked):
    """`count` marginals, each released with discrete Gaussian noise of scale `sigma` (rows) on every cell.

    One unit moves each of them by an integer vector of L1 norm (hence L2 norm) at most `sensitivity` rows.
    """

    kind: ClassVar[str] = "discrete_gaussian"
    sigma: float
    sensitivity: int
    count: int = 1

    def __post_init__(self) -> None:
        self._positive("sigma")
        self._whole("sensitivity")
        self._whole("count")


@dataclass(frozen=True)
class BoundedRange(_Checked):
    """`count` private choices by the exponential mechanism, each `epsilon`-bounded-range.

    Probabilities proportional to exp(epsilon * score / (2 * sensitivity)): the log-ratios of all candidates
    lie in an interval of length `epsilon` (Durfee and Rogers 2019), which is stronger than epsilon-DP.
    """

    kind: ClassVar[str] = "bounded_range"
    epsilon: float
    count: int = 1

    def __post_init__(self) -> None:
        self._positive("epsilon")
        self._whole("count")


@dataclass(frozen=True)
class DiscreteLaplace(_Checked):
    """`count` vectors with discrete Laplace noise, P(x) ~ exp(-|x| / scale), each moved by at most
    `sensitivity` in L1."""

    kind: ClassVar[str] = "discrete_laplace"
    scale: float
    sensitivity: int
    count: int = 1

    def __post_init__(self) -> None:
        self._positive("scale")
        self._whole("sensitivity")
        self._whole("count")


@dataclass(frozen=True)
class DpSgd(_Checked):
    """`steps` noisy gradient sums over Poisson samples of units, each unit in with probability `rate`.

    `sigma` is the noise scale in units of one *unit's* clipped contribution (rows per unit included).
    """

    kind: ClassVar[str] = "dp_sgd"
    rate: float
    sigma: float
    steps: int

    def __post_init__(self) -> None:
        self._positive("rate")
        self._probability("rate", one=True)
        self._positive("sigma")
        self._whole("steps")


@dataclass(frozen=True)
class PureDp(_Checked):
    """`count` mechanisms of which nothing is known but that each is `epsilon`-differentially private."""

    kind: ClassVar[str] = "pure_dp"
    epsilon: float
    count: int = 1

    def __post_init__(self) -> None:
        self._positive("epsilon")
        self._whole("count")


@dataclass(frozen=True)
class External(_Checked):
    """What another tool released: (epsilon, delta)-differentially private for the same unit and
    neighbours."""

    kind: ClassVar[str] = "external"
    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        self._positive("epsilon")
        self._probability("delta")


@dataclass(frozen=True)
class PartitionSelection(_Checked):
    """Values discovered by thresholding noisy counts.

    `noise` prices the noisy counts of values that both neighbours hold; `delta` is the probability that any
    value which only one unit holds passes the threshold. It is an additive failure: epsilon is evaluated at
    delta minus it.
    """

    kind: ClassVar[str] = "partition_selection"
    noise: DiscreteGaussian | DiscreteLaplace
    delta: float

    def __post_init__(self) -> None:
        if not isinstance(self.noise, DiscreteGaussian | DiscreteLaplace):
            raise _bad(self.kind, "noise", "a discrete Gaussian or Laplace event")
        self._probability("delta")


@dataclass(frozen=True)
class ZcdpGrant(_Checked):
    """The whole cost of an adaptive stage that runs behind a zCDP filter: `rho`-zCDP."""

    kind: ClassVar[str] = "zcdp_grant"
    rho: float

    def __post_init__(self) -> None:
        self._positive("rho")


@dataclass(frozen=True)
class GdpGrant(_Checked):
    """The whole cost of an adaptive stage that runs behind a Gaussian-DP filter: `mu`-GDP."""

    kind: ClassVar[str] = "gdp_grant"
    mu: float

    def __post_init__(self) -> None:
        self._positive("mu")


@dataclass(frozen=True)
class Composed(_Checked):
    """Several events, run one after the other **in this order**, all of whose parameters are fixed before
    the first.

    Later ones may look at the answers of earlier ones (which clique), never change a parameter because of
    them.
    """

    kind: ClassVar[str] = "composed"
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.events, tuple) or not self.events:
            raise _bad(self.kind, "events", "a non-empty tuple of events")
        if not all(isinstance(event, _Checked) for event in self.events):
            raise _bad(self.kind, "events", "a tuple of events only")


Event: TypeAlias = (
    DiscreteGaussian
    | BoundedRange
    | DiscreteLaplace
    | DpSgd
    | PureDp
    | External
    | PartitionSelection
    | ZcdpGrant
    | GdpGrant
    | Composed
)

_KINDS: dict[str, Callable[..., Event]] = {
    cls.kind: cls
    for cls in (
        DiscreteGaussian,
        BoundedRange,
        DiscreteLaplace,
        DpSgd,
        PureDp,
        External,
        PartitionSelection,
        ZcdpGrant,
        GdpGrant,
        Composed,
    )
}


@dataclass(frozen=True)
class Charge:
    """One entry of a plan: what for, and what it does."""

    purpose: str
    event: Event


def flatten(events: Sequence[Event]) -> Iterator[Event]:
    """The same events with every `Composed` unfolded, in order."""
    for event in events:
        if isinstance(event, Composed):
            yield from flatten(event.events)
        else:
            yield event


def to_json(event: Event) -> dict[str, Any]:
    """A JSON object that `from_json` turns back into an equal event."""
    if isinstance(event, Composed):
        return {"kind": event.kind, "events": [to_json(part) for part in event.events]}
    if isinstance(event, PartitionSelection):
        return {"kind": event.kind, "noise": to_json(event.noise), "delta": event.delta}
    return {"kind": event.kind, **dataclasses.asdict(event)}


def from_json(value: object) -> Event:
    """The event of a JSON object. BudgetError B302 for an unknown kind, a missing or an unknown field."""
    if not isinstance(value, Mapping) or value.get("kind") not in _KINDS:
        raise BudgetError(
            "B302", "an event of unknown kind", "it was written by a newer version, or was altered"
        )
    make = _KINDS[value["kind"]]
    fields: dict[str, Any] = {name: content for name, content in value.items() if name != "kind"}
    if "events" in fields and isinstance(fields["events"], list):
        fields["events"] = tuple(from_json(part) for part in fields["events"])
    if "noise" in fields:
        fields["noise"] = from_json(fields["noise"])
    try:
        return make(**fields)
    except TypeError:
        raise BudgetError(
            "B302", f"event '{value['kind']}' has missing or unknown fields", "it was altered"
        ) from None
