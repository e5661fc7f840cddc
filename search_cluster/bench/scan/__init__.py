"""``search-cluster bench scan``: what a scan's statistics are worth, proved on a whole table."""
