"""What survives a restart: interfaces, and one file per way of keeping it."""
