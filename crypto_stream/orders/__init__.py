"""Orders on paper against live quotes: what is accepted, what it trades, what is kept and told of it."""
