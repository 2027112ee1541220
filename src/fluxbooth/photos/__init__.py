"""Photos before training: decoded apart, looked at, cut. No torch."""
