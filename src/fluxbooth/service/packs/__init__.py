"""Packs: texts that are drawn of anybody."""
