"""Layers of one model on several devices of one worker."""
