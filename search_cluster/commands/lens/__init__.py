"""What ``search-cluster lens`` does: fit a lens, judge it, and show what it reads."""
