"""One call of a layer: which rows run, where they come from and go to, and attention over them."""
