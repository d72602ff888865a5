"""A rehearsal of everything that can fail in an installation of several machines."""
