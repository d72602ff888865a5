"""From venues to events: connections, their life, and the choice which source serves an instrument."""
