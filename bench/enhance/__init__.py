"""What the picture tools do, measured."""
