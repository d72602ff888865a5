"""Smoke tests of the measurements, so that they do not rot."""
