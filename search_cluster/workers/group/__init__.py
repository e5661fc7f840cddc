"""Workers of one process that drives searches: members, what waits for them, and who was lost."""
