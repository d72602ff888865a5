"""What flows through the house: instruments, events, quotes, the book. Pure: no I/O, no clock."""
