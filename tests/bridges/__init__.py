"""Programs that bring prices to Crypto Stream, tested by themselves."""
