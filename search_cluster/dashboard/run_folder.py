"""A run folder as it grows: shards are digested once, sessions are read anew each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any

from search_cluster.corpus.manifest import MANIFEST_NAME, Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.shards import read_shard, shard_paths
from search_cluster.dashboard.depth_folder import DepthFolder
from search_cluster.dashboard.scan_folder import ScanFolder
from search_cluster.dashboard.shard_digest import ExampleRow, ShardDigest, digest_shard
from search_cluster.depth.result import DEPTH_NAME
from search_cluster.errors import CorpusError
from search_cluster.lock import WRITER_LOCK_NAME
from search_cluster.scan.result import SCAN_NAME
from search_cluster.telemetry.price import Price, priced
from search_cluster.telemetry.samples import SAMPLES_SUFFIX, Sample, read_samples
from search_cluster.telemetry.sessions import SESSIONS_FOLDER, read_sessions

SILENT_AFTER_S = 30.0
"""The seconds after which a search counts as silent; one that lives rewrites its session file every
few seconds."""


class RunState(StrEnum):
    """Where a search stands, as far as its folder tells."""

    STARTING = "starting"
    """The folder is there, with no session in it yet."""
    RUNNING = "running"
    """It is unfinished, and its session file is rewritten every few seconds."""
    SILENT = "silent"
    """It is unfinished, and nothing was written for `SILENT_AFTER_S`: stopped, killed, or stuck."""
    FINISHED = "finished"
    """The manifest is there, or what a scan or a depth study found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run folder at one moment."""

    state: RunState
    """Where the search stands."""
    last_sign_s: float | None
    """The seconds since the last session file was written."""
    digests: tuple[ShardDigest, ...]
    """The digests in the order of the shards."""
    sessions: tuple[dict[str, Any], ...]
    """The counters of each invocation, oldest first."""
    samples: tuple[tuple[Sample, ...], ...]
    """For each session how its counters grew; empty for one that an older version wrote."""
    problems: tuple[str, ...]
    """The files that can't be read, in words."""

    @property
    def rows(self) -> tuple[ExampleRow, ...]:
        """All searched examples, in the order in which they were written."""
        return tuple(row for digest in self.digests for row in digest.rows)

    @property
    def provenance(self) -> Provenance | None:
        """What the run depends on; ``None`` before the first shard."""
        return self.digests[0].provenance if self.digests else None


class RunFolder:
    """Reads a run folder again and again; safe to share between threads.

    Args:
        folder: what ``search --run``, ``scan --run`` or ``depth --out`` named.
        now: gives seconds since the epoch, comparable with file times.
        price: of a device-hour, in the place of those that the sessions ran at.

    Raises:
        CorpusError: there is no such folder, or it is no run folder.
    """

    def __init__(
        self, folder: Path, *, now: Callable[[], float] = time.time, price: Price | None = None
    ) -> None:
        self.folder = folder
        self.scan = ScanFolder(folder)
        self.depth = DepthFolder(folder)
        self._now = now
        self._price = price
        self._lock = Lock()
        self._digests: dict[tuple[Path, int, int], ShardDigest | str] = {}
        signs = (MANIFEST_NAME, WRITER_LOCK_NAME, SESSIONS_FOLDER, SCAN_NAME, DEPTH_NAME)
        if not any((folder / sign).exists() for sign in signs) and not shard_paths(folder):
            raise CorpusError(
                f"{folder} is not a run folder: it has no shard, no session and no lock; name what "
                "--run named (a search that has just started makes its folder when its workers "
                "are ready)"
            )

    def read(self) -> Snapshot:
        """The folder as it is now; what can't be read is among its problems."""
        with self._lock:
            digests, problems = self._read_shards()
        sessions, other_problems = read_sessions(self.folder)
        files = sorted((self.folder / SESSIONS_FOLDER).glob("*.json"))
        last_sign_s = self._now() - files[-1].stat().st_mtime if files else None
        return Snapshot(
            state=self._state(last_sign_s),
            last_sign_s=last_sign_s,
            digests=digests,
            sessions=tuple(priced(sessions.values(), self._price)),
            samples=tuple(
                tuple(read_samples(file.with_suffix(SAMPLES_SUFFIX))) for file in sessions
            ),
            problems=problems + other_problems,
        )

    def record(self, row: ExampleRow) -> ExampleRecord:
        """The whole record of an example.

        Raises:
            CorpusError: its shard is gone or damaged.
        """
        return read_shard(row.shard)[1][row.position]

    def _read_shards(self) -> tuple[tuple[ShardDigest, ...], tuple[str, ...]]:
        seen: dict[tuple[Path, int, int], ShardDigest | str] = {}
        for path in shard_paths(self.folder):
            try:
                status = path.stat()
            except FileNotFoundError:  # deleted since it was listed
                continue
            key = (path, status.st_size, status.st_mtime_ns)
            if key not in self._digests:
                try:
                    self._digests[key] = digest_shard(path)
                except CorpusError as error:
                    self._digests[key] = str(error)
            seen[key] = self._digests[key]
        self._digests = seen
        digests = tuple(item for item in seen.values() if isinstance(item, ShardDigest))
        return digests, tuple(item for item in seen.values() if isinstance(item, str))

    def _state(self, last_sign_s: float | None) -> RunState:
        signs = (MANIFEST_NAME, SCAN_NAME, DEPTH_NAME)
        if any((self.folder / sign).is_file() for sign in signs):
            return RunState.FINISHED
        if last_sign_s is None:
            return RunState.STARTING
        return RunState.RUNNING if last_sign_s < SILENT_AFTER_S else RunState.SILENT
