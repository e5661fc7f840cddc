"""The state machine of one example and the coordinator that drives many (pure Python)."""
