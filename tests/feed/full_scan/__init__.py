"""The original failover, which examines all instruments each round; the current one must decide the same."""
