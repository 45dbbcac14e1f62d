"""Attributes that share a byte: many pairs of attributes are seen in one table over two packs of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.records import Records

Counts = NDArray[np.int64]
Pack = tuple[str, ...]

CELLS = 256
"""A byte tells the codes of all attributes of a pack."""
SAVED = 2
"""Packs are worth it from so many pairs on that a table shows on average."""


@lru_cache(maxsize=16)
def pairs_by_packs(
    domain: Domain, pairs: tuple[Clique, ...]
) -> Mapping[tuple[Pack, Pack], tuple[Clique, ...]]:
    """Which of the pairs are seen in a table over which two packs; nothing where that saves little.

    Packs are filled by first fit, the attributes by falling number of cells.
    """
    packs: list[list[str]] = []
    for attribute in sorted({a for pair in pairs for a in pair}, key=lambda a: (-domain[a], a)):
        if domain[attribute] > CELLS:
            continue
        fits = (pack for pack in packs if domain.size((*pack, attribute)) <= CELLS)
        pack = next(fits, None)
        if pack is None:
            packs.append(pack := [])
        pack.append(attribute)
    home = {attribute: tuple(pack) for pack in packs for attribute in pack}
    found: dict[tuple[Pack, Pack], tuple[Clique, ...]] = {}
    for pair in pairs:
        if pair[0] in home and pair[1] in home:
            one, two = sorted((home[pair[0]], home[pair[1]]))
            found[one, two] = (*found.get((one, two), ()), pair)
    return found if SAVED * len(found) <= sum(map(len, found.values())) else {}


def packed(records: Records, packs: Iterable[Pack]) -> Records:
    """The same records with one attribute for each pack, named by `name`. Codes are in range."""
    columns = {}
    different = list(dict.fromkeys(packs))
    for pack in different:
        codes = records[pack[0]].astype(np.uint8)
        for attribute in pack[1:]:
            np.multiply(codes, np.uint8(records.domain[attribute]), out=codes)
            np.add(codes, records[attribute], out=codes, casting="unsafe")
        columns[name(pack)] = codes
    sizes = [records.domain.size(pack) for pack in different]
    return Records(Domain(tuple(columns), tuple(sizes)), tuple(columns.values()))


def name(pack: Pack) -> str:
    return ", ".join(map(repr, pack))


def seen(
    domain: Domain, one: Pack, two: Pack, table: Counts, pairs: Iterable[Clique]
) -> Iterator[tuple[Clique, Counts]]:
    """The pairs' own flat tables, from that of two packs (or, of pairs inside one pack, from its own)."""
    wide = domain.size(two) if one != two else 1
    firsts: dict[str, Counts] = {}
    for pair in pairs:
        if one == two:
            alone = table.reshape(domain.shape(one))
            yield pair, _axes(alone, one, pair)
            continue
        first = pair[0] if pair[0] in one else pair[1]
        if first not in firsts:
            before = math.prod(domain.shape(one[: one.index(first)]))
            firsts[first] = table.reshape(before, domain[first], -1, wide).sum(axis=(0, 2))
        both = firsts[first].reshape(domain[first], *domain.shape(two))
        yield pair, _axes(both, (first, *two), pair)


def _axes(table: Counts, attributes: Clique, wanted: Clique) -> Counts:
    """Summed to the wanted attributes, in their order, flat."""
    other = tuple(i for i, a in enumerate(attributes) if a not in wanted)
    left = [a for a in attributes if a in wanted]
    return np.ascontiguousarray(table.sum(axis=other).transpose([left.index(a) for a in wanted])).reshape(-1)
