"""Rules between columns: what they forbid, which cells that rules out, and rows mended until none breaks them."""

from dpsynth.constraints.repair import Repair
from dpsynth.constraints.rules import Rule, Rules
from dpsynth.constraints.zeros import classes_of, structural_zeros

__all__ = ["Repair", "Rule", "Rules", "classes_of", "structural_zeros"]
