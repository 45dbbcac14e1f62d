"""Where the training computes. A machine without a GPU checks the other path by tensors that have a place and no values."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.gan import device
from dpsynth.gan.impossible import Impossible
from dpsynth.gan.training import Training, _Adam
from dpsynth.pgm.problem import Target

DOMAIN = Domain.of(a=3, b=4, c=2)


def targets() -> list[Target]:
    rng = np.random.default_rng(0)
    cliques = [("a",), ("a", "b"), ("a", "b", "c")]
    return [Target(c, rng.random(DOMAIN.shape(c)) * 9, np.ones(DOMAIN.shape(c))) for c in cliques]


def training() -> Training:
    mask = np.zeros((3, 4), dtype=bool)
    mask[0, 0] = True
    ones = {a: np.full(DOMAIN[a], 1 / DOMAIN[a]) for a in DOMAIN.attributes}
    return Training(DOMAIN, ones, 50.0, 8, None, Impossible.of(DOMAIN, {("a", "b"): mask}, {}))


@pytest.mark.parametrize("there", [False, True])
def test_a_gpu_is_used_where_there_is_one(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device.chosen().type == ("cuda" if there else "cpu")


@pytest.mark.parametrize("kind", ["cpu", "meta"])
def test_a_step_keeps_every_tensor_on_the_chosen_device(kind: str) -> None:
    """Tensors of the device "meta" have no values; they refuse to be mixed with those of another, as a GPU's do."""
    import torch

    place = torch.device(kind)
    logits = device.placed(np.zeros((8, 9), dtype=np.float32), place).requires_grad_()
    error, away = training()._objective(targets(), 0.1, place)(logits)
    (error + away).backward()
    assert {error.device.type, away.device.type, logits.grad.device.type} == {kind}
    adam = _Adam(logits)
    adam.step(0.1)
    assert {t.device.type for t in (adam._mean, adam._square, logits)} == {kind}
    if kind == "meta":
        elsewhere = training()._objective(targets(), 0.1, torch.device("cpu"))
        with pytest.raises(RuntimeError, match="device"):
            elsewhere(logits)
