"""Tests of crypto_stream.market."""
