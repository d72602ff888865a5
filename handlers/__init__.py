"""One handler per venue, named after it. See docs/adding-a-venue.md."""
