"""Measurements that anybody can repeat, each a command: `python -m benchmarks.failover`, `… .delivery`."""
