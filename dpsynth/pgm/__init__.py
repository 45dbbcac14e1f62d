"""Noisy marginals -> a distribution. Post-processing: nothing here has ever seen a row."""

from dpsynth.pgm.estimation import Model, fit, fit_with_report
from dpsynth.pgm.graphical import GraphicalModel
from dpsynth.pgm.merged import MergedMixture, MergedModel
from dpsynth.pgm.mixture import MixtureModel

__all__ = [
    "GraphicalModel",
    "MergedMixture",
    "MergedModel",
    "MixtureModel",
    "Model",
    "fit",
    "fit_with_report",
]
