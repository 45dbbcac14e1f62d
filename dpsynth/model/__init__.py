"""A fitted model: released facts only, on disk or in memory."""

from dpsynth.model.fitted import GENERATORS, FittedModel, Generator, require_rows

__all__ = ["GENERATORS", "FittedModel", "Generator", "require_rows"]
