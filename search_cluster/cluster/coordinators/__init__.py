"""Coordinators on a cluster: the actor that hosts one, and how the driver shares a run among several."""
