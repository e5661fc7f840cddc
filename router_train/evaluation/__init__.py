"""Judging routers: accuracy on held-out questions, statistics, wall-clock speed."""
