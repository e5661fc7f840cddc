"""What of this machine is this process' to use: CPUs and memory, and who its user is.

A machine's own numbers are too high wherever somebody has set limits: ``taskset``, Slurm, Docker
and Kubernetes do. All parts of the project ask here.
"""

import getpass
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows the limits of its groups of processes."""
PROCESS_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
"""Limits of memory that a shell may have set (``ulimit -v``, ``ulimit -d``)."""
CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux describes each CPU: lines such as ``flags : fma avx`` (on ARM: ``Features``)."""
MEMBERSHIP = Path("/proc/self/cgroup")
"""Which groups this process is in: lines such as ``0::/job`` (version 2) or ``4:memory:/job``."""


def usable_cpus() -> int:
    """CPUs that this process may keep busy, at least 1: its affinity and its groups' quotas count.

    A quota of one and a half is one CPU: the second would stand still half of the time.
    """
    return max(1, min([_affine_cpus(), *(int(quota) for quota in _cpu_quotas())]))


def total_memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def usable_memory_bytes() -> int:
    """Memory that this process may have at most: the machine's, or what its groups allow."""
    files = [*_files("", "memory.max"), *_files("memory", "memory.limit_in_bytes")]
    limits = [number for file in files if (number := _number(_words(file), 0)) is not None]
    limits += [soft for soft, _ in map(resource.getrlimit, PROCESS_LIMITS) if soft >= 0]
    return min([total_memory_bytes(), *limits])


def limit_arithmetic_threads() -> None:
    """Let arithmetic start no more threads than it has CPUs for; called before it is imported.

    Its libraries know of affinities and not of quotas. What ``OMP_NUM_THREADS`` says stays.
    """
    if (num_cpus := usable_cpus()) < _affine_cpus():
        os.environ.setdefault("OMP_NUM_THREADS", str(num_cpus))


def name_user() -> None:
    """Give a user without a name one, for this process and those that it starts.

    Containers often run under a user id that no file knows. Many libraries ask for its name, to put
    it into the name of a folder.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"


def is_homeless(error: BaseException) -> bool:
    """Whether an error says that this user has no home folder; libraries have no class for it."""
    return isinstance(error, RuntimeError | KeyError) and any(
        words in str(error).lower() for words in ("home directory", "uid not found")
    )


def homeless_line() -> str:
    """What to do without a home folder."""
    return (
        f"user id {os.getuid()} has no home folder, where caches lie: set HOME to a folder of your "
        "own"
    )


def describe_cpus() -> str:
    """How many CPUs there are for this process, in words."""
    usable, there = usable_cpus(), os.cpu_count() or 1
    words = f"{usable} CPU{'s' if usable != 1 else ''}"
    if usable < there:
        return f"{words} (of {there}: affinity or a control group's quota)"
    return words


def cpu_name() -> str:
    """What the CPUs are called; the kind of machine where they are not named."""
    named = (line.partition(":") for line in _lines(CPU_INFO))
    names = (value.strip() for name, _, value in named if name.strip() == "model name")
    return next(names, platform.machine())


def cpu_features() -> tuple[str, frozenset[str]]:
    """Who made the CPUs, and what they can; the kind of machine and nothing where none is told."""
    told: dict[str, str] = {}
    for line in _lines(CPU_INFO):
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    features = told.get("flags", told.get("Features", ""))
    return told.get("vendor_id", platform.machine()), frozenset(features.split())


def _affine_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def _cpu_quotas() -> Iterator[float]:
    """The quotas of this process' groups and of those around them, in CPUs."""
    parts = [_words(file) for file in _files("", "cpu.max")]
    parts += [
        [*_words(file), *_words(file.with_name("cpu.cfs_period_us"))]
        for file in _files("cpu", "cpu.cfs_quota_us")
    ]
    for words in parts:
        quota_us, period_us = _number(words, 0), _number(words, 1)
        if quota_us is not None and period_us:
            yield quota_us / period_us


def _files(controller: str, name: str) -> list[Path]:
    """The files of that name in this process' group and in those around it that can be seen.

    Args:
        controller: of version 1; empty: version 2.
        name: the file's name.
    """
    found = []
    for line in _lines(MEMBERSHIP):
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        # Version 2 lies at the top, or beside the controllers of version 1.
        names = (controllers, controller) if controller else ("unified",)
        mount = next(filter(Path.is_dir, (CGROUPS / name for name in names)), CGROUPS)
        # In a container the group may be named as outside, where this process can't look: what it
        # sees then at the top is its own group.
        inner = mount / group.strip("/")
        found += [
            place / name for place in (inner, *inner.parents) if mount in (place, *place.parents)
        ]
    return [file for file in dict.fromkeys(found) if file.is_file()]


def _number(words: list[str], place: int) -> int | None:
    """A limit; ``None`` where there is none, which is written as ``max`` or -1."""
    text = words[place] if place < len(words) else ""
    return int(text) if text.isdecimal() else None


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # another system, or a group that is gone
        return []
