"""The routed model: a frozen LLM that answers each prompt along the path that a router chose."""
