"""What stands in deploy/, checked by the programs that it is for."""
