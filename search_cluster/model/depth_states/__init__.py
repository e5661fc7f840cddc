"""What a depth study asks of a model: chosen positions, read by lenses, as plain arrays."""
