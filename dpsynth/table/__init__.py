"""Tables in and out: where files and frames are met, and checked against the schema."""

from dpsynth.table.core import Table, joined
from dpsynth.table.folders import write_rows
from dpsynth.table.reading import misfits, read_table, unfit_cells
from dpsynth.table.sources import Source
from dpsynth.table.streaming import stream_csv, write_tables
from dpsynth.table.writing import write_table

__all__ = [
    "Source",
    "Table",
    "joined",
    "misfits",
    "read_table",
    "stream_csv",
    "unfit_cells",
    "write_rows",
    "write_table",
    "write_tables",
]
