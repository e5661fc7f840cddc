"""What a lens reads of a text, layer by layer: on a terminal and as an HTML file."""
