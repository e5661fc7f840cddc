"""The verdict store on a Redis-protocol server."""
