"""What a machine makes difficult: folders that take no files, locks, renames, memory, GPUs."""

import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from search_cluster.errors import ConfigError, CorpusError
from search_cluster.files import write_text_whole
from search_cluster.lock import NO_LOCKS_VARIABLE, NoLocksError, no_locks_text, try_lock
from search_cluster.machine import total_memory_bytes, usable_memory_bytes

PROBE_PREFIX = ".search-cluster-doctor-"
SLOW_WRITE_S = 0.5
"""A small file that takes longer to appear whole makes runs write their sessions more rarely."""
NUM_WRITES = 3
SHARED_MEMORY = Path("/dev/shm")
STORE_BYTES = 128 * 2**20
"""Ray's object store in a private cluster (`search_cluster.cluster.session`)."""
RAY_TEMPORARY_VARIABLE = "RAY_TMPDIR"
MIN_TEMPORARY_BYTES = 2**29


def try_run_folder(folder: Path) -> str:
    """Try what a run does in its folder: lock it, and replace a file.

    Args:
        folder: where runs are to lie; the nearest folder above it that exists is tried.

    Raises:
        CorpusError: it can't be written to, or knows no locks; the message says what to set.
    """
    there = _nearest(folder)
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=PROBE_PREFIX) as name:
            took_s = _seconds_to_write(Path(name))
            says = _try_lock(Path(name), there)
    except OSError as error:
        raise CorpusError(
            f"{there} can't be written to ({error.strerror or error}); name a folder for --run "
            "that can"
        ) from error
    slow = ", slow: runs write their sessions more rarely" if took_s > SLOW_WRITE_S else ""
    return f"{there}: {says}; a file appears whole in {1000 * took_s:.0f} ms{slow}"


def _seconds_to_write(folder: Path) -> float:
    started_s = time.perf_counter()
    for number in range(NUM_WRITES):
        write_text_whole(folder / "probe", str(number))
    return (time.perf_counter() - started_s) / NUM_WRITES


def _try_lock(folder: Path, shown: Path) -> str:
    descriptors = [os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600) for _ in range(2)]
    try:
        held = [try_lock(descriptor) for descriptor in descriptors]
    except NoLocksError as error:
        raise CorpusError(no_locks_text(shown, error)) from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    if all(held):
        return f"locks keep nobody out ({NO_LOCKS_VARIABLE} is set, or they are not real)"
    return "locks work"


def describe_memory() -> str:
    """The memory that this process may have, and whether a limit says so."""
    usable = usable_memory_bytes()
    there = total_memory_bytes()
    of_all = f" (of {_gb(there)}: a container's or a shell's limit)" if usable < there else ""
    return f"{_gb(usable)}{of_all}; a worker on the CPU holds a model of its own"


def describe_shared_memory() -> str:
    """How large ``/dev/shm`` is, and what Ray does about it."""
    try:
        free_bytes = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        free_bytes = 0
    if free_bytes < STORE_BYTES:
        return (
            f"{_gb(free_bytes)} free in {SHARED_MEMORY}: Ray's object store lies in its temporary "
            "folder instead, which is enough here (its warning can be ignored)"
        )
    return f"{_gb(free_bytes)} free in {SHARED_MEMORY}"


def try_temporary_folders() -> str:
    """The folders for temporary files, Python's and Ray's.

    Raises:
        ConfigError: one can't be written to, or is nearly full; the message says what to set.
    """
    ray = Path(os.environ.get(RAY_TEMPORARY_VARIABLE) or "/tmp")
    try:
        python = Path(tempfile.gettempdir())
    except OSError as error:
        raise ConfigError(
            "there is no folder for temporary files; set TMPDIR to one that you may write to"
        ) from error
    for variable, folder in (("TMPDIR", python), (RAY_TEMPORARY_VARIABLE, ray)):
        next_step = f"set {variable} to a folder that you may write to, with room"
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=PROBE_PREFIX):
                free_bytes = shutil.disk_usage(folder).free
        except OSError as error:
            raise ConfigError(
                f"{folder} can't be written to ({error.strerror}); {next_step}"
            ) from error
        if free_bytes < MIN_TEMPORARY_BYTES:
            raise ConfigError(f"{folder} has {_gb(free_bytes)} free; {next_step}")
    return str(python) if python == ray else f"{python}; Ray's: {ray}"


def try_hub_cache() -> str:
    """The folder where models of the hub lie, if it can be written to.

    Raises:
        ConfigError: it can't; the message says what to set.
    """
    from huggingface_hub import constants  # half a second

    folder = Path(constants.HF_HUB_CACHE)
    there = _nearest(folder)
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=PROBE_PREFIX):
            return str(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder} can't be written to ({error.strerror}), so no model can be downloaded"
        ) from error


def try_gpus() -> str:
    """Whether the GPUs here are of one kind.

    Raises:
        ConfigError: they are not.
    """
    from search_cluster.model.runtime import gpu_names  # torch: seconds

    if not (names := gpu_names()):
        return "none here; a head without GPUs is fine: workers bring theirs (--workers N)"
    kinds = Counter(names)
    if len(kinds) > 1:
        said = ", ".join(f"{count} x {name}" for name, count in kinds.most_common())
        raise ConfigError(f"they are unlike ({said}), and 16-bit verdicts of unlike GPUs differ")
    return f"{len(names)} of one kind"


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB"
