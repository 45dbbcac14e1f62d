"""A fitted model: released facts only, on disk or in memory."""

from dpsynth.model.drawing import Drawable, Generator, require_rows
from dpsynth.model.fitted import GENERATORS, FittedModel

__all__ = ["GENERATORS", "Drawable", "FittedModel", "Generator", "require_rows"]
