"""How many rows stand in two tables word for word: counted, not judged, whatever the verdict rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from attacks.coding import Coder
from attacks.prepare import Files
from attacks.stats import percent
from dpsynth.schema import Schema

_NOBODY = slice(0, 0)


@dataclass(frozen=True)
class WordForWord:
    """Shares of rows, in [0, 1], whose modelled columns all have the very values of a row of another table.

    `synthetic`: of the synthetic rows that are a member's row; `members`, `held_out`: of those rows that stand in
    the synthetic table. Without held-out rows `held_out` is None. Short rows agree by chance: only a `members` far
    above `held_out` says that rows were copied from the training data.
    """

    synthetic: float
    members: float
    held_out: float | None

    @classmethod
    def of(cls, files: Files, schema: Schema) -> WordForWord:
        """Of an audit's tables: rows, not units."""
        nobody = files.members.take(_NOBODY) if files.controls is None else files.controls
        coder = Coder(schema, files.members, nobody)
        made, members = coder.rows(files.synthetic).keys, coder.rows(files.members).keys
        held_out = None if files.controls is None else float(np.isin(coder.rows(nobody).keys, made).mean())
        return cls(float(np.isin(made, members).mean()), float(np.isin(members, made).mean()), held_out)

    @property
    def words(self) -> str:
        """One sentence."""
        beside = (
            "no rows were held out to compare with"
            if self.held_out is None
            else f"of the held-out rows it holds {percent(self.held_out)}"
        )
        return (
            f"word for word: {percent(self.synthetic)} of the synthetic rows are rows of the training data; the table "
            f"holds {percent(self.members)} of the training rows, {beside}"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "synthetic_rows_that_are_members": self.synthetic,
            "members_in_the_table": self.members,
            "held_out_in_the_table": self.held_out,
        }
