"""Layer paths in the notations of other tools: written with their traps said, and read back."""
