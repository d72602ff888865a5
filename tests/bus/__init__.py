"""Tests of crypto_stream.bus."""
