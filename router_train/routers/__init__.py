"""Kinds of routers behind one protocol: a prompt goes in, a layer path comes out."""
