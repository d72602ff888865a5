"""Order sessions: who connected to `/ws`, what they ask the engine, what they are told."""
