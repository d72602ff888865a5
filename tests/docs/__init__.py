"""The documents, tested against the code."""
