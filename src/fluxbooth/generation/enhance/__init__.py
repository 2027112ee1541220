"""What is done to a picture after it is drawn, a file a step."""
