"""What routers learn from: labels, features and path tables."""
