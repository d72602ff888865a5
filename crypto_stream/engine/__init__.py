"""The engine process (asyncio): connects sources, failover, book, history, orders and the bus."""
