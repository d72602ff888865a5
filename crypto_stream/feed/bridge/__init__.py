"""`bridge:NAME`: a program of any language as a source, over a local socket (docs/bridges.md)."""
