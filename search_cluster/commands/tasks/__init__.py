"""What ``search-cluster tasks`` lists, shows and checks."""
