"""Live figures of a run: its counters, their samples and sessions, metrics, progress."""
