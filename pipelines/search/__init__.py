"""Nearest neighbours over the vectors of outputs, for units, pictures and texts."""
