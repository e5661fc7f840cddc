"""The fast engine: verdicts of many (example, path) pairs at once."""
