"""Tests of crypto_stream.engine."""
