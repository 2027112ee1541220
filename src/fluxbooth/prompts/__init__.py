"""The prompt language, and what cannot be said in it."""
