"""Counters, their exporters and the HTML report of a run."""
