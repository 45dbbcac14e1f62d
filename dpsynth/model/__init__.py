"""A fitted model: released facts only, on disk or in memory."""

from dpsynth.model.fitted import GENERATORS, FittedModel, Generator

__all__ = ["GENERATORS", "FittedModel", "Generator"]
