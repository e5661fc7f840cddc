"""Tasks of EleutherAI's evaluation harness (package ``lm-eval``)."""
