"""Synthetic rows against what was released, and what a recipient may conclude: numbers that may be published.

Nothing here sees a private row: all of it follows from the rows, the noisy counts that were paid for, and the
size of their noise, which is public.
"""

from dpsynth.consistency.bands import Band, bands
from dpsynth.consistency.compare import Consistency, MeasuredClique, consistency, from_uniform
from dpsynth.consistency.conditions import Conditions
from dpsynth.consistency.files import Released, from_bytes, to_bytes
from dpsynth.consistency.intervals import Interval, interval
from dpsynth.consistency.noise import half_width, mean_absolute_noise
from dpsynth.consistency.tables import noisy_total

__all__ = [
    "Band",
    "Conditions",
    "Consistency",
    "Interval",
    "MeasuredClique",
    "Released",
    "bands",
    "consistency",
    "from_bytes",
    "from_uniform",
    "half_width",
    "interval",
    "mean_absolute_noise",
    "noisy_total",
    "to_bytes",
]
