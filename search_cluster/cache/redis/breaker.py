"""A circuit breaker: after a few failures a service is left alone, and asked again now and then."""

from collections.abc import Callable


class Breaker:
    """Counts failures in a row, opens at ``max_failures``, then lets an attempt through.

    One attempt passes per waiting time. That starts at ``first_wait_s`` and doubles with every
    attempt that fails, up to ``max_wait_s``.

    Args:
        max_failures: the number of failures in a row that open it.
        first_wait_s: seconds from opening to the first attempt.
        max_wait_s: the largest number of seconds between attempts.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        *,
        max_failures: int,
        first_wait_s: float,
        max_wait_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._max_failures = max_failures
        self._first_wait_s = first_wait_s
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._num_failures = 0
        self._wait_s = first_wait_s
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the service is taken for lost."""
        return self._num_failures >= self._max_failures

    @property
    def allows(self) -> bool:
        """Whether to try now: the breaker is closed, or an attempt is due."""
        return not self.is_open or self._clock() >= self._retry_at

    def succeed(self) -> bool:
        """Record a success; returns whether this closed an open breaker."""
        was_open = self.is_open
        self._num_failures = 0
        self._wait_s = self._first_wait_s
        return was_open

    def fail(self) -> bool:
        """Record a failure; returns whether this opened a closed breaker."""
        was_open = self.is_open
        self._num_failures += 1
        if self.is_open:
            self._retry_at = self._clock() + self._wait_s
            self._wait_s = min(2 * self._wait_s, self._max_wait_s)
        return self.is_open and not was_open
