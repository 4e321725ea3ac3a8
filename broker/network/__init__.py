"""Everything that leaves the machine, through one guard."""
