"""Measurements that anybody can repeat; each is a command: `python -m benchmarks.failover`, `python -m benchmarks.numbers`."""
