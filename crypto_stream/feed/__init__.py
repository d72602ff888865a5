"""From venues to events: the life cycle of connections, and the choice of the source that serves each instrument."""
