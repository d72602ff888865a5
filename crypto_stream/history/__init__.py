"""Bars of every instrument from its first moment: built, kept, asked for."""
