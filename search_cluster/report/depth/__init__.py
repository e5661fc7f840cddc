"""What a depth study found, for people: the page, its plots and tables."""
