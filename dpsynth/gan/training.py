"""A mixture of products trained on noisy marginals. Post-processing: nothing here has ever seen a row.

The loss is half the mean squared error of all measured cells in units of their noise, plus what the components tell of
each column: the mean relative entropy of theirs to the one-way marginals. That pull keeps the mixture from explaining
noise. It asks little of a cell that a component rules out, which a squared distance of logits would ask most of.

The marginals of all pairs are blocks of one matrix product: with P (components, cells side by side), ``P' P / components``
holds them all. PyTorch is imported here and only when something is trained; what comes out is NumPy's.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.errors import UsageError
from dpsynth.gan import device as devices
from dpsynth.gan.impossible import Impossible
from dpsynth.gan.layout import Layout
from dpsynth.gan.order import along, roots
from dpsynth.pgm import MixtureModel
from dpsynth.pgm.problem import Target
from dpsynth.progress import Progress
from dpsynth.threads import one_thread

Singles = NDArray[np.float32]

SPREAD = 0.5
"""Standard deviation of the first logits around those of the one-way marginals."""

SURE = 3.0
"""Logit with which a component begins in its cell of the target, against any other: each is of one class, more or less."""

FIRST, SECOND = 0.9, 0.99
"""Decay of Adam's two averages (Kingma and Ba 2015)."""

WINDOW, GAIN = 25, 2e-3
"""A loss is at rest when this many steps have lowered it by less than this part."""

FORBIDDING = 30.0
"""Weight of the share of records that cannot be, beside half the mean squared error in units of the noise."""

SEED = 0
"""Of what is no privacy noise: the first logits. The same measurements give the same mixture."""


@dataclass(frozen=True)
class Schedule:
    """At most `steps` of Adam: half of them, or until the loss has come to rest, at `rate`; as many with a rate that
    falls to zero. `pull`: weight of the relative entropy, in nats, to the one-way marginals."""

    steps: int
    rate: float
    pull: float


def _torch_loads() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    try:
        importlib.import_module("torch")
    except (ImportError, OSError):  # installed, but a library that it needs is missing
        return False
    return True


def require_torch() -> None:
    """UsageError where PyTorch is missing or does not load, before anything is spent."""
    if not _torch_loads():
        raise UsageError(
            "U137",
            "neural generators are trained by PyTorch, which is not installed, or does not load",
            "pip install 'dpsynth-audit[gan]', or take another method",
        )


class Training:
    """Components' logits, shape (components, cells side by side), trained in stages, with more targets in each."""

    def __init__(
        self,
        domain: Domain,
        ones: Mapping[str, NDArray[np.float64]],
        total: float,
        components: int,
        target: str | None = None,
        impossible: Impossible | None = None,
        ordered: Mapping[str, int] | None = None,
    ) -> None:
        """`ones`: noisy shares of each attribute's cells, all positive; `total`: the released number of records. Each
        component is given a cell of the `target` to begin with, and nothing pulls it back from there. `impossible`: what
        the mixture is kept away from; `ordered`: how many first cells of some attributes are in order."""
        self._layout, self.total = Layout(domain), total
        self._impossible = impossible or Impossible(self._layout, ())
        self._roots = roots(self._layout, {a: n for a, n in (ordered or {}).items() if a != target})
        self._middle = np.log(self._layout.joined(ones))
        # logits less the middle, before neighbours are brought together
        self._free: Singles = np.float32(SPREAD) * np.random.default_rng(SEED).standard_normal(
            (components, self._layout.width), dtype=np.float32
        )
        self._unpulled = -1
        if target is not None:
            columns = self._layout.columns(domain.index(target))
            cells = np.searchsorted(np.cumsum(ones[target])[:-1], (np.arange(components) + 0.5) / components)
            begin = SURE * (2 * np.eye(domain[target], dtype=np.float32)[cells] - 1)
            self._free[:, columns] = begin - self._middle[columns]
            self._unpulled = domain.index(target)

    @property
    def domain(self) -> Domain:
        return self._layout.domain

    def model(self) -> MixtureModel:
        """What has been learnt so far."""
        components = len(self._free)
        weights = np.full(components, 1.0 / components)
        return MixtureModel(self.domain, self.total, weights, self._layout.apart(self.shares(self._free)))

    def shares(self, free: Singles) -> Singles:
        """Those of each attribute's cells, shape (components, width), for what is trained."""
        return self._layout.softmax(self._middle + along(self._layout, self._roots, free))

    @one_thread()
    def train(self, targets: Sequence[Target], schedule: Schedule, progress: Progress) -> list[float]:
        """Explain the targets; the loss of each step. `progress` is told "training" and the part that is done."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._trained(targets, schedule, progress)
        finally:
            torch.set_num_threads(threads)

    def _trained(self, targets: Sequence[Target], schedule: Schedule, progress: Progress) -> list[float]:

        device = devices.chosen()
        free = devices.placed(self._free, device).requires_grad_()
        loss = self._objective(targets, schedule.pull, device)
        adam = _Adam(free)
        losses: list[float] = []
        steady = 0
        while len(losses) < (2 * steady or schedule.steps):
            progress("training", len(losses) / (2 * steady or schedule.steps))
            if not steady and (2 * len(losses) >= schedule.steps or _at_rest(losses)):
                steady = len(losses)
            error, pull = loss(free)
            (error + pull).backward()
            adam.step(schedule.rate * (2 - len(losses) / steady if steady else 1))
            losses.append(float(error.detach()))
        self._free = free.detach().cpu().numpy()
        return losses

    def _objective(
        self, targets: Sequence[Target], pull: float, device: Any
    ) -> Callable[[Any], tuple[Any, Any]]:
        """What is trained -> (the error of what was measured, what it costs to tell of columns and to be where nothing
        can be)."""
        import torch

        order = {number: devices.placed(root, device) for number, root in self._roots.items()}
        ruled_out = [devices.placed(table, device) for _, table in self._impossible.tables]
        loss = _Loss(self._layout, targets, self.total, len(self._free), device)
        sizes = list(self.domain.sizes)
        middle = torch.split(devices.placed(self._middle, device), sizes)

        def both(free: Any) -> tuple[Any, Any]:
            parts: list[Any] = []
            told: Any = 0.0
            for number, part in enumerate(torch.split(free, sizes, 1)):
                moved = part @ order[number] if number in order else part
                logs = torch.log_softmax(middle[number] + moved, 1)
                parts.append(logs.exp())
                if number != self._unpulled:
                    told = told + (parts[-1] * (logs - middle[number])).sum()
            ruled = FORBIDDING * self._impossible.mass(parts, ruled_out)
            return loss(parts), pull * told / len(free) + ruled

        return both


class _Adam:
    """Kingma and Ba 2015. (PyTorch's own brings a compiler along, which takes seconds to load.)"""

    def __init__(self, values: Any) -> None:
        import torch

        self._values = values
        self._mean, self._square = torch.zeros_like(values), torch.zeros_like(values)
        self._steps = 0

    def step(self, rate: float) -> None:
        """Down the gradient that was left at the values, which is cleared."""
        import torch

        self._steps += 1
        first, second = 1 - FIRST**self._steps, 1 - SECOND**self._steps
        with torch.no_grad():
            gradient, self._values.grad = self._values.grad, None
            self._mean.lerp_(gradient, 1 - FIRST)
            self._square.mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
            self._values.addcdiv_(
                self._mean, self._square.div(second).sqrt_().add_(1e-8), value=-rate / first
            )


def _at_rest(losses: Sequence[float]) -> bool:
    """Whether the last `WINDOW` steps brought next to nothing."""
    return len(losses) > WINDOW and min(losses[-WINDOW:]) > (1 - GAIN) * min(losses[:-WINDOW])


class _Loss:
    """Half the mean over measured cells of the squared error in units of the noise."""

    def __init__(
        self, layout: Layout, targets: Sequence[Target], total: float, components: int, device: Any
    ) -> None:
        self._scale = total / components
        self._domain = layout.domain
        self._cells = sum(t.values.size for t in targets)
        self._layout = layout
        self._pairs = _Blocks.of(layout, [t for t in targets if len(t.clique) <= 2], device)
        self._larger = [_Table.of(layout.domain, t, device) for t in targets if len(t.clique) > 2]

    def __call__(self, parts: Sequence[Any]) -> Any:
        """`parts`: per attribute, the probabilities of its cells, shape (components, cells)."""
        found = self._pairs.error(parts, self._scale)
        for table in self._larger:
            found = found + table.error(parts, self._scale)
        return found / self._cells


@dataclass(frozen=True)
class _Blocks:
    """Singles and pairs: counts and precisions for the blocks of the product of all cells with all cells."""

    single: Any
    single_precision: Any
    pairs: Any
    precision: Any

    @classmethod
    def of(cls, layout: Layout, targets: Sequence[Target], device: Any) -> _Blocks:

        width, domain = layout.width, layout.domain
        single, pairs = np.zeros((2, width), np.float32), np.zeros((2, width, width), np.float32)
        for target in targets:
            columns = tuple(layout.columns(domain.index(a)) for a in target.clique)
            counts, precisions = single if len(columns) == 1 else pairs
            counts[columns] = target.values
            precisions[columns] = 1.0 / target.variance
        tensors = [devices.placed(t, device) for t in (single[0], single[1], pairs[0], pairs[1])]
        return cls(*tensors)

    def error(self, parts: Sequence[Any], scale: float) -> Any:
        import torch

        shares = torch.cat(list(parts), 1)
        singles = shares.sum(0) * scale - self.single
        pairs = (shares.T @ shares) * scale - self.pairs
        return 0.5 * ((self.single_precision * singles**2).sum() + (self.precision * pairs**2).sum())


@dataclass(frozen=True)
class _Table:
    """A marginal of three attributes or more; `numbers` are those of its attributes, the largest last."""

    numbers: tuple[int, ...]
    values: Any
    precision: Any

    @classmethod
    def of(cls, domain: Domain, target: Target, device: Any) -> _Table:

        order = sorted(range(len(target.clique)), key=lambda axis: domain[target.clique[axis]])
        width = domain[target.clique[order[-1]]]
        tables = [
            devices.placed(t.transpose(order).reshape(-1, width).astype(np.float32), device)
            for t in (target.values, 1.0 / target.variance)
        ]
        return cls(tuple(domain.index(target.clique[axis]) for axis in order), *tables)

    def error(self, parts: Sequence[Any], scale: float) -> Any:
        left = parts[self.numbers[0]] * scale
        for number in self.numbers[1:-1]:
            left = (left[:, :, None] * parts[number][:, None, :]).reshape(len(left), -1)
        found = left.T @ parts[self.numbers[-1]]
        return 0.5 * (self.precision * (found - self.values) ** 2).sum()


def multiplications(domain: Domain, cliques: Sequence[Clique], components: int) -> float:
    """About how many multiplications one step needs: what its time is proportional to."""
    larger = math.fsum(domain.size(c) for c in cliques if len(c) > 2)
    return 3.0 * components * (float(sum(domain.sizes)) ** 2 + 3 * larger)
