"""Tests of order sessions: real gateways, real sockets, a small engine."""
