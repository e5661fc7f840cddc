"""A router that chooses among a few paths that are known to be good for many questions."""
