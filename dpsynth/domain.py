"""Domain and Clique: the sizes of encoded attributes. No data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from dpsynth.errors import CapacityError, UsageError

MOST_CELLS = 1 << 31
"""Of one marginal."""
Clique = tuple[str, ...]
"""Attribute names of a marginal, in the order of its axes."""


@dataclass(frozen=True)
class Domain:
    """Named attributes and how many cells each has.

    >>> Domain.of(age=12, plan=3).size(("plan", "age"))
    36
    """

    attributes: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.attributes) != len(self.sizes):
            raise ValueError("as many sizes as attributes")
        if len(set(self.attributes)) != len(self.attributes):
            raise ValueError("attribute names must differ")
        if any(size < 1 for size in self.sizes):
            raise ValueError("every attribute has at least one cell")

    @classmethod
    def of(cls, **sizes: int) -> Domain:
        return cls(tuple(sizes), tuple(sizes.values()))

    @classmethod
    def from_sizes(cls, sizes: Mapping[str, int]) -> Domain:
        return cls(tuple(sizes), tuple(sizes.values()))

    @cached_property
    def _size(self) -> dict[str, int]:
        return dict(zip(self.attributes, self.sizes, strict=True))

    def __getitem__(self, attribute: str) -> int:
        return self._size[attribute]

    def __contains__(self, attribute: object) -> bool:
        return attribute in self._size

    def __len__(self) -> int:
        return len(self.attributes)

    def shape(self, clique: Clique) -> tuple[int, ...]:
        """Cells along each axis of the clique's marginal."""
        return tuple(self._size[attribute] for attribute in clique)

    def size(self, clique: Clique | None = None) -> int:
        """Cells of the clique's marginal (of the whole domain without one), an exact integer."""
        return math.prod(self.sizes if clique is None else self.shape(clique))

    def require(self, cliques: Iterable[Clique]) -> None:
        """Refuse marginals that cannot be counted: UsageError (U188) as `require_named`, CapacityError (C111) for more than
        `MOST_CELLS` cells."""
        for clique in cliques:
            self.require_named(clique)
            if self.size(clique) > MOST_CELLS:
                raise CapacityError(
                    "C111",
                    f"the marginal of ({', '.join(clique)}) has {self.size(clique):.3g} cells, more than can be counted",
                    "declare fewer cells for these columns, or ask for fewer of them at once",
                )

    def require_named(self, clique: Clique) -> None:
        """UsageError (U188) for an attribute that is named twice or is not there."""
        if len(set(clique)) != len(clique) or any(attribute not in self for attribute in clique):
            raise UsageError(
                "U188",
                f"a marginal of ({', '.join(map(str, clique))}) is none of this table",
                "name columns that are modelled, each once",
            )

    def index(self, attribute: str) -> int:
        return self.attributes.index(attribute)

    def ordered(self, attributes: Iterable[str]) -> Clique:
        """The same attributes in the domain's order, each once."""
        wanted = set(attributes)
        return tuple(attribute for attribute in self.attributes if attribute in wanted)

    def project(self, clique: Iterable[str]) -> Domain:
        names = tuple(clique)
        return Domain(names, self.shape(names))
