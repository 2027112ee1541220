"""The bases: which there are, how each is found, loaded and planned for."""
