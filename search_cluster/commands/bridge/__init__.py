"""What ``search-cluster bridge`` does."""
