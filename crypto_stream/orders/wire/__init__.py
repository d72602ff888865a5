"""The words of the order gateway: what clients send, and what they are told."""
