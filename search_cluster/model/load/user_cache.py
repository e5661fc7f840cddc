"""The folder where this user's converted models and file digests are kept between runs."""

import os
from pathlib import Path

import platformdirs

from search_cluster.errors import ModelError

CACHE_VARIABLE = "SEARCH_CLUSTER_CACHE"
"""The environment variable that names another folder."""
NEXT_STEP = f"set {CACHE_VARIABLE} to a folder of your own"


def user_cache_dir() -> Path:
    """The cache folder, created if it is missing.

    It is ``$SEARCH_CLUSTER_CACHE``, or else the platform's place for caches.

    Raises:
        ModelError: it can't be created or written to, or this user has no home folder.
    """
    folder = Path(os.environ.get(CACHE_VARIABLE) or _platforms_place())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"cache folder {folder} can't be created ({error}); {NEXT_STEP}"
        ) from error
    if not os.access(folder, os.W_OK):
        raise ModelError(f"cache folder {folder} can't be written to; {NEXT_STEP}")
    return folder


def _platforms_place() -> str:
    try:
        place = platformdirs.user_cache_dir("search-cluster")
    except RuntimeError:
        place = ""
    if not Path(place).is_absolute():  # as older versions say it: below a folder that is named ~
        raise ModelError(f"there is no home folder to keep a cache in; {NEXT_STEP}")
    return place
