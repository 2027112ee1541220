"""LoRA files and layers: read, trained, applied, converted."""
