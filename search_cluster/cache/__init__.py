"""The verdict cache: keys, value codec, memory and Redis stores, the caching evaluator, the embedded server."""
