"""Fidelity and utility against real rows: numbers that stay inside."""

from dpsynth.evaluation.evaluate import Evaluation, Sizes, evaluate, require_targets
from dpsynth.evaluation.figures import Figure

__all__ = ["Evaluation", "Figure", "Sizes", "evaluate", "require_targets"]
