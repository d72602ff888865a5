"""The values the program works with: instruments, events, quotes, the book. Pure: no I/O, no clock."""
