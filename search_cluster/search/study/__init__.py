"""The study: which paths are as good as identity for many questions (pure Python)."""
