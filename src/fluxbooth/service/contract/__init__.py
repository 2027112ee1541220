"""The public API's forms and answers."""
