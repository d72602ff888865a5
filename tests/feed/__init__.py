"""Tests of crypto_stream.feed."""
