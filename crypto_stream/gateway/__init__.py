"""The gateway: a mirror of the engine's state, served to viewers and order clients from green threads."""
