"""How a session's counters grew: a bounded series of samples beside the session's own file.

One JSON object a line is appended as the search goes. When `MAX_SAMPLES` lie there, every other one
is dropped and the interval doubles, so that a weekend's file is as small as an hour's.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from search_cluster.errors import CorpusError
from search_cluster.files import write_text_whole
from search_cluster.telemetry.run_counters import RunCounters

SAMPLES_SUFFIX = ".jsonl"
"""The samples of ``NAME.json`` lie in ``NAME.jsonl``."""
MAX_SAMPLES = 1000
"""Samples in a file at most, of about 290 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Counters of one session at one moment, under the keys of the JSON form of `RunCounters`."""

    elapsed_seconds: float
    """Seconds since the session began."""
    examples_done: int
    paths_searched: int
    paths_evaluated: int
    cache_hits: int
    failures: int
    device_seconds: float
    device_busy_seconds: float
    layer_rows: int = 0
    """Like the two below 0 in samples of versions that did not count it."""
    computed_flops: float = 0.0
    available_flops: float = 0.0


class SampleLog:
    """Appends samples to a file; owned by one `SessionLog`.

    Args:
        path: the file; it does not exist yet.
        interval_s: between two samples, until the first thinning.
        max_samples: lines in the file at most, at least 2.
    """

    def __init__(self, path: Path, *, interval_s: float, max_samples: int = MAX_SAMPLES) -> None:
        self._path = path
        self._interval_s = interval_s
        self._max_samples = max_samples
        self._samples: list[Sample] = []

    def take(self, counters: RunCounters, *, force: bool = False) -> None:
        """Keep the counters as a sample if the last one is old enough, or if forced.

        Raises:
            CorpusError: the operating system refused to write.
        """
        values = counters.to_json()
        sample = Sample(**{item.name: values[item.name] for item in fields(Sample)})
        last = self._samples[-1] if self._samples else None
        if (
            last is not None
            and not force
            and sample.elapsed_seconds - last.elapsed_seconds < self._interval_s
        ):
            return
        self._samples.append(sample)
        if len(self._samples) > self._max_samples:
            self._thin()
        else:
            self._append(sample)

    def _thin(self) -> None:
        # Counted from the end, so that the newest sample stays.
        self._samples = self._samples[::-1][::2][::-1]
        self._interval_s *= 2
        write_text_whole(self._path, "".join(map(_line, self._samples)))

    def _append(self, sample: Sample) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(_line(sample))
        except OSError as error:
            raise CorpusError(
                f"can't write {self._path}: {error.strerror or error}; what was found is kept: "
                "free space or fix the permissions, then run the same command again"
            ) from error


def read_samples(path: Path) -> list[Sample]:
    """The samples in a file, oldest first; none if there is no file.

    A line that is no sample is passed over: the last one may be half written, and samples are for
    looking at only.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            sample = _parse(line)
        except ValueError:
            continue
        if sample is not None:
            found.append(sample)
    return found


def _parse(line: str) -> Sample | None:
    """The sample in a line; ``None`` if it is not whole, or something in it is no number.

    Raises:
        ValueError: the line is no JSON.
    """
    counters = json.loads(line)
    if not isinstance(counters, Mapping):
        return None
    values: dict[str, Any] = {}
    for item in fields(Sample):
        default = None if item.default is MISSING else item.default
        value = counters.get(item.name, default)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            return None
        values[item.name] = value
    return Sample(**values)


def _line(sample: Sample) -> str:
    return (
        json.dumps(
            {name: round(value, 3) for name, value in asdict(sample).items()}, separators=(",", ":")
        )
        + "\n"
    )
