"""Crypto Stream: one dependable live price feed out of several exchanges."""

__version__ = "0.1.0"
