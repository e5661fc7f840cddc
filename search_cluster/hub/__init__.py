"""The hub: folders of ours that are read from it, and that are put on it."""
