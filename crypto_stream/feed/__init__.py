"""From venues to events: the life cycle of connections, and which source serves each instrument."""
