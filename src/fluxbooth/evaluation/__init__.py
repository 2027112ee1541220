"""The worth of a training, measured: the demo, likeness, verification on real weights."""
