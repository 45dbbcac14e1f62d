"""Constants of the distance kernels."""

FARTHEST = 65_535
"""No neighbour."""

MISMATCH = 255
"""What two different categories add to a distance; two ordered codes add at most as much."""

BLOCK = 2048
"""Rows of the table whose distances fit the first-level cache."""
