"""FLUX.2 [klein]: everything that knows its blocks, its text encoder and its files."""
