"""Distributed Monte-Carlo tree search over the layer paths of frozen LLMs."""
