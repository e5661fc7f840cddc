"""Digests of large files and tensors, remembered in the user's cache."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from search_cluster.errors import ModelError
from search_cluster.files import file_sha256
from search_cluster.model.load.user_cache import one_at_a_time, user_cache_dir

logger = logging.getLogger(__name__)

HUB_BLOBS = "blobs"
"""The folder in the hub's cache where the files themselves lie, to which snapshots link."""
SHA256_NAME = re.compile("[0-9a-f]{64}")
REMEMBERED_FROM_BYTES = 1 << 20
"""The size from which on a digest is remembered; smaller ones are computed each time."""


def file_digest(path: Path) -> str:
    """The sha256 of a file; the digest of a large one is remembered, see `remembered_digest`.

    The hub's cache names a large file by its sha256, which was checked when it was downloaded.
    """
    place = path.resolve()
    if place.parent.name == HUB_BLOBS and SHA256_NAME.fullmatch(place.name):
        return place.name
    return remembered_digest(path, (), ["file"], lambda: file_sha256(path))


def remembered_digest(
    source: Path, others: Iterable[Path], about: list[str], compute: Callable[[], str]
) -> str:
    """A digest of what is read out of a file, or out of the files of a folder.

    It is found again as long as no file of the folder changes: a file's place on the disk and the
    time when its entry changed can't be set by a program, as its time of modification can. Where
    there is no cache folder to write to, it is computed each time, and a warning says so.

    Args:
        source: a file, or a folder whose files, not those of folders in it, are read.
        others: the files that are read besides, wherever they lie.
        about: whatever else the digest depends on.
        compute: how it is computed.
    """
    files = sorted({*(source.iterdir() if source.is_dir() else [source]), *others})
    stats = [
        (str(file.resolve()), stat.st_dev, stat.st_ino, stat.st_size, stat.st_ctime_ns)
        for file in files
        if file.is_file()
        for stat in [file.stat()]
    ]
    if sum(size for *_, size, _ in stats) < REMEMBERED_FROM_BYTES:
        return compute()
    content = json.dumps([str(source.resolve()), stats, about])
    return _remembered(hashlib.sha256(content.encode()).hexdigest(), str(source), compute)


def _remembered(key: str, name: str, compute: Callable[[], str]) -> str:
    try:
        memo = user_cache_dir() / "digests" / key
    except ModelError as error:
        logger.warning("the digest of %s is not remembered: %s", name, error)
        return compute()
    if memo.is_file():
        return memo.read_text(encoding="ascii")
    with one_at_a_time(f"digests/{key}"):  # the workers of a machine start together
        if memo.is_file():
            return memo.read_text(encoding="ascii")
        digest = compute()
        memo.parent.mkdir(exist_ok=True)
        unfinished = memo.with_name(f"{key}.{os.getpid()}")
        unfinished.write_text(digest, encoding="ascii")
        unfinished.replace(memo)
    return digest
