"""Mechanisms decide what to ask the curator for. `METHODS` names them for a project file."""

from collections.abc import Mapping

from dpsynth.mechanisms.aim import Aim
from dpsynth.mechanisms.base import MAX_CELLS, Fit, Found, Mechanism, Mixed, Task, Told
from dpsynth.mechanisms.gan import Gan
from dpsynth.mechanisms.independent import Independent
from dpsynth.mechanisms.mst import Mst
from dpsynth.mechanisms.network import Network
from dpsynth.mechanisms.privbayes import PrivBayes
from dpsynth.mechanisms.telling import Telling
from dpsynth.mechanisms.tree import CliqueTree
from dpsynth.mechanisms.tree_aim import TreeAim

METHODS: Mapping[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        Independent(),
        Mst(),
        CliqueTree(),
        PrivBayes(),
        Aim(),
        TreeAim(),
        Network(),
        Gan(),
    )
}


def method_for(name: str, task: Task) -> Mechanism:
    """The method, after the maps were learnt that the task's constraints leave open, if there are any."""
    return Telling(METHODS[name]) if task.told else METHODS[name]


__all__ = ["MAX_CELLS", "METHODS", "Fit", "Found", "Mechanism", "Mixed", "Task", "Told", "method_for"]
