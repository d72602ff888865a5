"""Load on a running gateway, made by Locust in a process of its own: `python -m loadtests`."""
