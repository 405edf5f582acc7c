"""Checkpoints that turn pictures, and some of them texts, into vectors, and their models in plain
torch."""
