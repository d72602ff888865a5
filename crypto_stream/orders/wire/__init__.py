"""The wire format of the order gateway: messages from and to clients."""
