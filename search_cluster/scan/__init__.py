"""The best one path for all questions of a task, and what is sure of it (pure Python and numpy)."""
