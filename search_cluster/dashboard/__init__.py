"""The live view of a search: a page on loopback, and the same numbers in a terminal."""
