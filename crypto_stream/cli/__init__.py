"""The command-line program."""

from crypto_stream.cli.program import default_text, main

__all__ = ["default_text", "main"]
