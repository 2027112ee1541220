"""What is done to a picture after it was drawn: one step a file, picture to picture."""
