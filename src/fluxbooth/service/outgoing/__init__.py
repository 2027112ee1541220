"""Requests to other hosts."""
