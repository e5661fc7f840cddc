"""The verdict cache: keys, codec, stores, claims, spool, caching evaluator, embedded server."""
