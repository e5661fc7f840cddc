"""The folder where this user's converted models and file digests are kept between runs."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock

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


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Let one process of this user's at a time do the work of a name; the others wait.

    Where there is no cache folder, or its file system knows no locks, all do it at once, which
    costs time and nothing else.

    Args:
        name: of the work; it may hold slashes.
    """
    with ExitStack() as held:
        with suppress(ModelError, OSError, NotImplementedError):
            path = user_cache_dir() / "locks" / f"{name}.lock"
            path.parent.mkdir(parents=True, exist_ok=True)
            # No file in a lock's place: a killed process would leave it behind.
            held.enter_context(FileLock(path, fallback_to_soft=False))
        yield


def _platforms_place() -> str:
    try:
        place = platformdirs.user_cache_dir("search-cluster")
    except RuntimeError:
        place = ""
    if not Path(place).is_absolute():  # as older versions say it: below a folder that is named ~
        raise ModelError(f"there is no home folder to keep a cache in; {NEXT_STEP}")
    return place
