"""Untrusted HTTP/1.1: read strictly and within limits, before a green server's own parser sees any of it."""
