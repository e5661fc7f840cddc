"""What the paths that a scan reports take, beside the plain model, measured on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from search_cluster.config import RAY_LOCAL, RAY_NONE, SearchConfig
from search_cluster.console import say
from search_cluster.errors import CorpusError
from search_cluster.paths.codec import parse_path
from search_cluster.scan.result import Finalist, ScanResult, Timing
from search_cluster.scan.result_file import is_finished, read_result

if TYPE_CHECKING:
    from search_cluster.model.path_times import PathTime


def with_times(config: SearchConfig, result: ScanResult) -> ScanResult:
    """The result with the times of its reported finalists.

    An earlier result of the same digest lends its times. On a cluster elsewhere nothing is
    measured, because this machine would say nothing of its workers.

    Args:
        config: how to load the model; the workers must be gone, for they may fill the device.
        result: of the scan that just ended.
    """
    earlier = _earlier(config.run)
    if earlier is not None and earlier.digest == result.digest:
        times = {item.summary.path: item.timings for item in earlier.finalists}
        if any(times.values()):
            return replace(
                result,
                finalists=tuple(
                    replace(item, timings=times[item.summary.path]) for item in result.finalists
                ),
            )
    reported = [item for item in result.finalists if item.test is not None]
    if not reported or config.ray not in (RAY_NONE, RAY_LOCAL):
        return result
    say(f"measuring what the plain model and {len(reported)} paths take on this machine")
    measured = _measured(config, reported, result.num_layers)
    return replace(
        result,
        finalists=tuple(
            replace(item, timings=_timings(item, measured)) for item in result.finalists
        ),
    )


def _earlier(run: Path) -> ScanResult | None:
    """What the folder says already; a damaged file lends nothing, and is written anew."""
    if not is_finished(run):
        return None
    try:
        return read_result(run)
    except CorpusError:
        return None


def _timings(finalist: Finalist, measured: tuple["PathTime", ...]) -> tuple[Timing, ...]:
    return tuple(
        Timing(batch=item.batch, seconds=item.seconds, plain_seconds=item.plain_seconds)
        for item in measured
        if str(item.path) == finalist.summary.path
    )


def _measured(
    config: SearchConfig, finalists: list[Finalist], num_layers: int
) -> tuple["PathTime", ...]:
    from search_cluster.commands.model import load_configured
    from search_cluster.model.path_times import measure_path_times

    loaded = load_configured(config)
    paths = [parse_path(item.summary.path, num_layers) for item in finalists]
    return measure_path_times(loaded.model, paths)
