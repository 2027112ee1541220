"""FLUX.1: everything that knows its blocks, its text encoders and its files."""
