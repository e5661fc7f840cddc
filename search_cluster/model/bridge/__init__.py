"""Bridges: what stands for the layers that a path leaves out."""
