"""A router that stops when the model has made up its mind (AdaInfer, arXiv 2403.02181)."""
