"""Tests of the commands, the supervisor and the whole program as processes."""
