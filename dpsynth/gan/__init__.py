"""Generators trained by gradients: what they release are mixtures, which NumPy alone stores and samples."""
