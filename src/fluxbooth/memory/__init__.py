"""Bytes of a training or a picture, by arithmetic alone."""
