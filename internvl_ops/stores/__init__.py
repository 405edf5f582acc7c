"""Stores: where inputs, media, outputs and checkpoints lie. One class a scheme; nothing else
branches on a scheme."""
