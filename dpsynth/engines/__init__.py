"""Exact counts over encoded records. Only `privacy` (and `pipeline`, for internal comparisons) may use them."""
