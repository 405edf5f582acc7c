"""Turns URIs into what the model reads: fetches, decodes and tiles files. Decoding runs in a
sandbox."""
