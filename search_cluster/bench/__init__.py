"""Benchmarks of the engine, of presets and of scaling; each states ratios of one run on one machine."""
