"""Tests of orders: messages, matching, and the whole of their life."""
