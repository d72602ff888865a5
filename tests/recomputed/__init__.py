"""What recorded frames say, worked out once more from the venues' documents: shares no code with the program."""
