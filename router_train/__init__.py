"""Train routers on the best-paths corpus and run the routed model."""
