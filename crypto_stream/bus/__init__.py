"""The line between engine and gateways: an interface, its messages, one file per way of carrying them."""
