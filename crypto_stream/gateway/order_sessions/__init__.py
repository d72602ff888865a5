"""Order sessions: the connections to `/ws`, their requests to the engine and the messages sent back."""
