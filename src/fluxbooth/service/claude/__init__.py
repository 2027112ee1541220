"""What Claude is asked for."""
