"""Empirical epsilon: what one output proves about the promise."""
