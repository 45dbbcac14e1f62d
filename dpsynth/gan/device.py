"""Where PyTorch computes: the only place that decides it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def chosen() -> Any:
    """The first GPU that PyTorch can use, otherwise the CPU. Imports PyTorch."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(values: NDArray[np.float32], device: Any) -> Any:
    """A tensor of its own there with these values."""
    import torch

    return torch.tensor(values, device=device)
