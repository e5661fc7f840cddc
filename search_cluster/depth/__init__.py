"""How a model uses its depth: where its answers are made, and where they stay."""
