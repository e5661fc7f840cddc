"""Tasks whose questions are generated from facts in this package."""
