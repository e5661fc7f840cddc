"""Examples, prompts, graders and data sources: what is asked and what counts as a right answer."""
