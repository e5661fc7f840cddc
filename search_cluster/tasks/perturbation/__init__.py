"""Derived questions under which the right answer stays right."""
