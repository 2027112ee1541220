"""A client of the API, of this server or any other that speaks it."""
