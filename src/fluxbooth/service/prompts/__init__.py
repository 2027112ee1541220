"""Prompts: what is to be drawn."""
