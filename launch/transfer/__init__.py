"""How much of what an agent can do it keeps on bodies that it never saw."""
