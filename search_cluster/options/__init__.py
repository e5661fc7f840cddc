"""Command-line options made from the fields of settings, so that every flag is written once."""
