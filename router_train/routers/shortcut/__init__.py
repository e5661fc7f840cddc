"""The router kind ``shortcut``: one path for all, read out by attention over layers' changes."""
