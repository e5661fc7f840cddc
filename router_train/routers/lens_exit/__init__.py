"""A router that stops at a state which a lens can read, and answers through the lens."""
