"""Noisy marginals -> a distribution. Post-processing: nothing here has ever seen a row."""

from dpsynth.pgm.estimation import fit, fit_with_report
from dpsynth.pgm.graphical import GraphicalModel

__all__ = ["GraphicalModel", "fit", "fit_with_report"]
