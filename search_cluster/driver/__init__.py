"""Who drives the searches of a run: this process, or coordinators on a Ray cluster."""
