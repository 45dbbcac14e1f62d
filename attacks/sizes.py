"""Constants of the distance kernels."""

FARTHEST = 2**32 - 1
"""No neighbour."""

MISMATCH = 255
"""What two different categories add to a distance; two ordered codes add at most as much."""

BLOCK = 512
"""Rows of the table whose distances fit the first-level cache; fewer make more boxes to look at."""
