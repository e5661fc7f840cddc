"""Lenses: what the model would say if it stopped at an intermediate state."""
