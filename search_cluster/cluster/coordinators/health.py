"""Which coordinators are healthy: who hangs, who is starved of workers, and when losses end a run.

Pure: whoever asks says what time it is, and acts on the answers.
"""

from dataclasses import dataclass

from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.errors import EvaluatorError

LOOK_S = 0.5
"""Seconds between two looks at the coordinators' health."""
MAX_SILENCE_PER_LOOK_S = 2.0
"""The most by which a coordinator's silence grows at a look. If it was this process that stood
still or was starved since the last one, reports may be waiting to be taken."""
STARVED_S = 30.0
"""A coordinator that has had no worker for so long gives its examples to the others."""
MAX_LOSSES_IN_A_ROW = 5
"""Coordinators that may be lost without one example ended in between; with more it is not the
examples that kill them."""
MAX_SPARED = 3
"""Coordinators that can't go on and that a run may do without, ..."""
SPARED_WITHIN_S = 3600.0
"""... within so long, or as many as there are others. One node that keeps on stopping them is given
up by then."""


@dataclass(slots=True, eq=False)
class SignsOfLife:
    """What is known of one coordinator's health."""

    alone_since_s: float
    """When it was last seen with a worker, or was started."""
    silent_s: float = 0.0
    """Seconds for which it has not reported, though a step is in flight."""
    has_worked: bool = False
    """Whether it has reported of a step with workers. Before that it connects and imports, which
    may take long."""

    def report(self, *, with_workers: bool) -> None:
        """Note that it has reported of a step."""
        self.silent_s = 0.0
        self.has_worked = self.has_worked or with_workers


class CoordinatorHealth:
    """Judges coordinators by their signs of life.

    Args:
        settings: how long workers and coordinators are waited for.
        now_s: seconds that only grow, as all times here.
    """

    def __init__(self, settings: CoordinatorSettings, *, now_s: float) -> None:
        self._placement_timeout_s = settings.placement_timeout_s
        self._coordinator_timeout_s = settings.coordinator_timeout_s
        self._last_look_s = self._alone_since_s = now_s
        self._losses_in_a_row = 0
        self._spared: list[float] = []
        """When coordinators could not go on."""

    def look(self, now_s: float) -> float | None:
        """Seconds of silence since the last look; ``None`` if it is too early for another one."""
        passed_s = now_s - self._last_look_s
        if passed_s < LOOK_S:
            return None
        self._last_look_s = now_s
        return min(passed_s, MAX_SILENCE_PER_LOOK_S)

    def is_hung(self, signs: SignsOfLife, passed_s: float) -> bool:
        """Add to the silence of a coordinator that has a step in flight.

        Returns:
            Whether it is taken for hung.
        """
        signs.silent_s += passed_s
        if signs.has_worked:
            return signs.silent_s > self._coordinator_timeout_s
        return signs.silent_s > max(self._coordinator_timeout_s, self._placement_timeout_s)

    def is_starved(self, signs: SignsOfLife, now_s: float) -> bool:
        """Whether a coordinator has had no worker for too long."""
        return now_s - signs.alone_since_s > STARVED_S

    def note_workers(self, now_s: float) -> None:
        """Note that at least one coordinator has a worker."""
        self._alone_since_s = now_s

    def is_hopeless(self, num_awaited: int, now_s: float) -> bool:
        """Whether a run that has no worker ends.

        Args:
            num_awaited: workers that may become ready yet.
            now_s: the time.
        """
        return not num_awaited or now_s - self._alone_since_s > self._placement_timeout_s

    def count_loss(self, cause: str) -> None:
        """Count a coordinator that died or hung.

        Raises:
            EvaluatorError: too many were lost without one example ended in between.
        """
        self._losses_in_a_row += 1
        if self._losses_in_a_row > MAX_LOSSES_IN_A_ROW:
            raise EvaluatorError(
                f"coordinators died {self._losses_in_a_row} times without one example ended in "
                f"between ({cause}); nothing found is lost: look at Ray's logs for the cause, then "
                "run the same command again"
            )

    def can_spare(self, num_others: int, now_s: float) -> bool:
        """Count a coordinator that can't go on; whether the run does without it.

        Args:
            num_others: coordinators that have workers.
            now_s: the time.
        """
        recent = [at_s for at_s in self._spared if now_s - at_s < SPARED_WITHIN_S]
        self._spared = [*recent, now_s]
        return num_others > 0 and len(self._spared) <= max(MAX_SPARED, num_others)

    def count_ended(self) -> None:
        """Note that an example ended, or was given up: the run gets on."""
        self._losses_in_a_row = 0
