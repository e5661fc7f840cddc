"""``--push-to-hub`` and ``search-cluster push``: a folder of ours on the hub, with its card."""
