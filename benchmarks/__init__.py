"""Measurements of speed and usefulness, ours and others'. Not part of the product, never in the test run."""
