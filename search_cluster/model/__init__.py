"""Frozen models: loading, fingerprint, anatomy, materialised layer paths and scoring (the torch room)."""
