"""Where the figures of a run go beside its own folder: the trackers that people know by name.

The run folder has them as JSON lines in any case. The packages are optional; accelerate knows how
each wants to be called.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_cluster.errors import ConfigError, known_names

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

logger = logging.getLogger(__name__)

TENSORBOARD = "tensorboard"
PACKAGES = {
    TENSORBOARD: "tensorboardX",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}
"""The package that each tracker needs."""
PROJECT = "search-cluster"
"""What runs are filed under where a tracker has projects or experiments."""
KEPT_AWAY = frozenset({"redis_url"})
"""Settings that may hold a password."""


class Trackers:
    """The trackers of one run, maybe none. One that fails is given up; the run goes on.

    Args:
        by_name: those that were opened.
    """

    def __init__(self, by_name: Mapping[str, "GeneralTracker"]) -> None:
        self._by_name = dict(by_name)
        self._step = -1

    def log(
        self, values: Mapping[str, Any], step: int | None = None, *, known_to: str = ""
    ) -> None:
        """Hand on what is a finite number among values.

        Args:
            values: figures by name.
            step: the number of the call; ``None``: one more than the last one's.
            known_to: a tracker that has them already.
        """
        self._step = self._step + 1 if step is None else step
        numbers = {
            name: value
            for name, value in values.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        }
        for name, tracker in list(self._by_name.items()):
            if name == known_to:
                continue
            try:
                tracker.log(numbers, step=self._step)
            except Exception as error:  # a network, a full disk, a package's own mistake
                self._give_up(name, error)

    def close(self) -> None:
        """Let each write what it still holds."""
        for name, tracker in list(self._by_name.items()):
            try:
                tracker.finish()
            except Exception as error:
                self._give_up(name, error)
        self._by_name.clear()

    def _give_up(self, name: str, error: Exception) -> None:
        del self._by_name[name]
        logger.warning(
            "%s takes no more figures (%s: %s); the run folder has them all",
            name, type(error).__name__, error,
        )  # fmt: skip


NO_TRACKERS = Trackers({})
"""Of a run that reports to nobody."""


def tracker_names(report_to: str) -> tuple[str, ...]:
    """The trackers that a setting names, with commas between; checked before a run begins.

    Raises:
        ConfigError: there is none of that name, or its package is not installed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in report_to.split(",") if name.strip()))
    for name in names:
        if name not in PACKAGES:
            raise ConfigError(
                f"report_to names {name!r}; trackers are: {known_names(name, PACKAGES)}"
            )
        if find_spec(PACKAGES[name]) is None:
            raise ConfigError(
                f"report_to names {name}, whose package is not installed: pip install "
                f"{PACKAGES[name]}"
            )
    return names


@contextmanager
def open_trackers(
    names: Sequence[str], folder: Path, settings: Mapping[str, Any]
) -> Iterator[Trackers]:
    """Open trackers for a run, and close them with it, however it ends.

    Each follows its package's own environment variables (``WANDB_MODE``, ``MLFLOW_TRACKING_URI``,
    ``TRACKIO_SPACE_ID`` ...). One that can't be opened is left out with a warning.

    Args:
        names: as `tracker_names` gives them.
        folder: the run's; it names the run, and files for TensorBoard lie in it.
        settings: what the run is of; secrets are kept away.
    """
    if not names:
        yield NO_TRACKERS
        return
    from accelerate import PartialState  # torch: seconds

    PartialState(cpu=True)  # a tracker wants no device
    told = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in settings.items()
        if value is not None and name not in KEPT_AWAY
    }
    opened: dict[str, GeneralTracker] = {}
    for name in names:
        try:
            tracker = _tracker(name, folder)
            tracker.start()
            tracker.store_init_configuration(told)
        except Exception as error:
            logger.warning(
                "%s can't be reported to (%s: %s); the run folder has all figures",
                name, type(error).__name__, error,
            )  # fmt: skip
        else:
            opened[name] = tracker
    trackers = Trackers(opened)
    try:
        yield trackers
    finally:
        trackers.close()


def _tracker(name: str, folder: Path) -> "GeneralTracker":
    from accelerate import tracking

    run = folder.resolve().name
    if name == "wandb":
        folder.mkdir(parents=True, exist_ok=True)
        return tracking.WandBTracker(PROJECT, name=run, dir=str(folder))
    if name == "mlflow":
        return tracking.MLflowTracker(experiment_name=PROJECT, run_name=run)
    if name == "trackio":
        return tracking.TrackioTracker(PROJECT, name=run)
    return tracking.TensorBoardTracker(TENSORBOARD, logging_dir=folder)
