"""The handlers, tested with frames written by hand, with nonsense and with recordings."""
