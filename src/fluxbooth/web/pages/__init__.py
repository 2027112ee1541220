"""Routes that answer people: the web app."""
