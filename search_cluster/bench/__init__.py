"""Benchmarks of the engine, of presets and of scaling: ratios of one run on one machine."""
