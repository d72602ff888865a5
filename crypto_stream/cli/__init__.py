"""The commands of a person: `program` runs one, `orders` has those about orders."""

from crypto_stream.cli.program import default_text, main

__all__ = ["default_text", "main"]
