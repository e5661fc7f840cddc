"""Immutable layer paths, the moves between them and the spaces that limit them (pure Python)."""
