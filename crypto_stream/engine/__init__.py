"""The asyncio half: sources, failover, book and bus put together. What must be right lives here, once."""
