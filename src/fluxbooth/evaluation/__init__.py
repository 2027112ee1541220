"""What a training is worth, measured: the demo, likeness, verification on real weights."""
