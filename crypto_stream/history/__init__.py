"""The history: bars and gaps of every instrument, recorded, stored and queried."""
