"""Tests of bars: built, kept, asked for."""
