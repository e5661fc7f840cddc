"""Dr.LLM's router (arXiv 2510.12773)."""
