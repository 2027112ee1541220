"""From inspected photos to a LoRA file."""
