"""The bus between the engine and its gateways: its interface, messages, and implementations."""
