"""What the answers of many paths to the same questions show, all paths looked at together."""
