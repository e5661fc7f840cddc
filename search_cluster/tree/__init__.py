"""The search graph of one example: nodes, scores, selection, best paths (pure Python)."""
