"""Model folders for others, who open them with a transformers of another version."""
