"""Themes: prompts written by Claude."""
