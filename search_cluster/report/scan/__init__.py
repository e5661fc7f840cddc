"""What a scan found, for people: the page, its plots and tables, and the same on a terminal."""
