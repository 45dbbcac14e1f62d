"""What is known of ordered columns before anything is measured: neighbouring cells go up and down together.

A generator's logits begin at those of the one-way marginals and move away from them, each component in its own
direction z. Along an ordered column z is made of independent numbers f by ``z = f R``, with R the root of the covariance
``(1 - SHARED) I + SHARED exp(-distance / REACH)``: a Gaussian process beside independent noise. Training moves f:
what neighbours agree on is learnt many times faster than what one cell says alone, which is mostly noise. Every z
can be reached, R is invertible.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dpsynth.gan.layout import Layout, Singles
from dpsynth.measurement import Merges
from dpsynth.pgm.stepping import ordered_after

REACH = 16.0
"""Cells after which the covariance has fallen to 1 / e."""

SHARED = 0.95
"""The part of a logit's variance that its neighbours share."""

WIDEST = 2048
"""A column with more cells than that is treated as one without order: its root would be a table of its own."""

Roots = dict[int, Singles]
"""For the number of each ordered attribute: R, symmetric, shape (cells, cells)."""


def after(ordered: Mapping[str, int], merges: Merges) -> dict[str, int]:
    """How many first cells of an attribute are in order when cells were merged."""
    return ordered_after(ordered, {a: cells.astype(np.int64) for a, cells in merges.items()})


def roots(layout: Layout, ordered: Mapping[str, int]) -> Roots:
    """`ordered`: for some attributes, how many of their first cells are in order."""
    found = {}
    for number, (attribute, size) in enumerate(zip(layout.domain.attributes, layout.sizes, strict=True)):
        first = ordered.get(attribute, 0)
        if first > 2 and size <= WIDEST:
            found[number] = _root(int(size), first)
    return found


def along(layout: Layout, given: Roots, rows: Singles) -> Singles:
    """``f R`` for each ordered attribute's columns, the others as they are; shape (components, width) as `rows`."""
    found = rows.copy()
    for number, root in given.items():
        own = layout.columns(number)
        found[:, own] = rows[:, own] @ root
    return found


def _root(size: int, first: int) -> Singles:
    places = np.arange(first)
    covariance = SHARED * np.exp(-np.abs(places[:, None] - places) / REACH)
    covariance += (1.0 - SHARED) * np.eye(first)
    values, vectors = np.linalg.eigh(covariance)
    root = np.eye(size)
    root[:first, :first] = (vectors * np.sqrt(values)) @ vectors.T
    found: Singles = root.astype(np.float32)
    return found
