"""Loading and identifying frozen models."""
