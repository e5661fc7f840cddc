"""The seam between "what to compute" and "where it runs": the evaluator protocol, its messages."""
