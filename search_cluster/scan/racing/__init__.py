"""The search of a scan: how much it asks, which paths go on, what is chosen (pure Python)."""
