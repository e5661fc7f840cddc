"""Named searches, one short file each.

A new one is such a file plus its name in `registry`; nothing else changes.
"""
