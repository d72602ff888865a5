"""Simulated orders against live quotes: validation, matching, storage and reports."""
