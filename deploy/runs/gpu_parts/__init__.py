"""The parts of `gpu_check.py`, a module each, and what they have in common."""
