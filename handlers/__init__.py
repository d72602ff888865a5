"""One file per venue; the file's name is the venue's name. See docs/adding-a-venue.md."""
