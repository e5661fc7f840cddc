"""What routers learn from: labels, features, tables of verdicts."""
