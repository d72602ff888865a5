"""Programs that bring foreign data into Crypto Stream, each a process of its own (docs/bridges.md)."""
