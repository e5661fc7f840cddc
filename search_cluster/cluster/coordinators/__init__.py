"""Coordinators on a cluster: the actor that hosts one, and the group that shares a run."""
