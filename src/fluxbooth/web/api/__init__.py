"""Routes that answer programs: the public API."""
