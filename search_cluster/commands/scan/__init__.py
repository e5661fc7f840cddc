"""What `search-cluster scan` does."""
