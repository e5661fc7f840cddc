"""Shortcuts: a readout behind the last layer that attends over what earlier layers changed."""
