"""The folder where this user's converted models and file digests are kept between runs."""

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "SEARCH_CLUSTER_CACHE"
"""Environment variable that names another folder."""


def user_cache_dir() -> Path:
    """The cache folder, created if it is missing: ``$SEARCH_CLUSTER_CACHE``, else the platform's place for caches."""
    folder = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("search-cluster"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
