"""The seam between "what to compute" and "where it runs": messages, the evaluator protocol, a scripted evaluator."""
