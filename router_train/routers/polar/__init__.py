"""PoLar's router (arXiv 2606.06574)."""
