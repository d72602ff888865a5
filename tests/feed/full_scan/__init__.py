"""The failover as it first was, which looks at every instrument each time: today's must agree with it."""
