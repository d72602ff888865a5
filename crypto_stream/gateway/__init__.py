"""The green half: a mirror of the engine's state and everybody who looks at it. Holds no truth of its own."""
