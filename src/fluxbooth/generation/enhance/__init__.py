"""What is done to a picture: a function each, from a picture and settings to a picture."""
