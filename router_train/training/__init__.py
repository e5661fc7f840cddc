"""From a corpus to a trained router on disk."""
