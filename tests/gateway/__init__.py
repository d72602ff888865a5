"""Tests of the green half; the servers themselves run as processes of their own."""
