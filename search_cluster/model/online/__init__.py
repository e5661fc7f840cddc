"""Online routing: a model that chooses a layer path for each prompt while it reads it."""
