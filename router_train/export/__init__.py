"""A trained router as a folder for others."""
