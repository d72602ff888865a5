"""What recorded frames say, worked out again by the venues' documents: shares no code with the program."""
