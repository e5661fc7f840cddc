"""Frozen models: loading, fingerprint, anatomy, materialised paths and scoring (the torch room)."""
