"""Whose row is this? Nearest neighbours and links between files."""
