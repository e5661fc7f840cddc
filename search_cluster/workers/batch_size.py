"""How many requests a batch holds: as many as make a device fast, and no more.

A batch costs a fixed time (launches, layer calls that a few rows leave half empty) and a time per
request. Both are learnt from the batches that a worker finished, as a line over their sizes. The
rule: the smallest size whose throughput is `ENOUGH` of the best that any size up to `MAX_REQUESTS`
has, worth at least `MIN_BATCH_S` and, above `MIN_REQUESTS`, at most `MAX_BATCH_S` of the device.
Larger batches would make a search wait for answers that were there long ago, for nothing. Pure:
knows no clock.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

BATCHES_PER_WORKER = 2
"""Batches that a worker evaluates at the same time: while the last answers of one are awaited, or
its results travel, the other keeps the device busy."""
MIN_REQUESTS, MAX_REQUESTS = 16, 1024
ENOUGH = 0.95
"""The share of the best throughput that a size has to reach."""
MIN_BATCH_S = 0.1
"""The device time that a batch is worth at least, if so many requests fit. At 50 ms and two batches
in flight devices were busy 96 % of the time (one process, Ray)."""
MAX_BATCH_S = 8.0
"""The device time that a batch takes at most, unless `MIN_REQUESTS` take longer."""
WORTH_WAITING_S = 0.05
"""Where a batch's fixed time is longer, it is worth while to wait for requests that may share it:
whoever searches answers results with new requests sooner."""
GROWTH = 2
"""How much larger a batch is than any that was measured."""
NUM_TRIES = 2
"""Batches of the largest size that are measured before the size changes."""
SHORTEST_S = 1e-6
"""What a batch counts as that took less."""
NUM_KEPT = 8
"""Batches of about one size (within a factor of 2) that are remembered, the newest ones: what has
changed since counts soon, and what other sizes took is not forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCost:
    """What batches take on one device: a line over their number of requests."""

    batch_s: float
    request_s: float

    def seconds(self, num_requests: float) -> float:
        """How long a batch of so many requests takes."""
        return self.batch_s + num_requests * self.request_s

    def size(self) -> int:
        """The size that the rule of this module asks for."""
        best_rate = MAX_REQUESTS / self.seconds(MAX_REQUESTS)
        wanted_rate = ENOUGH * best_rate
        # n / (batch_s + n * request_s) = wanted_rate; the divisor is at least 1 - ENOUGH.
        enough = wanted_rate * self.batch_s / (1.0 - wanted_rate * self.request_s)
        size = min(max(enough, self._filling(MIN_BATCH_S)), self._filling(MAX_BATCH_S))
        return math.ceil(max(MIN_REQUESTS, size))

    def _filling(self, seconds: float) -> float:
        """The largest size up to `MAX_REQUESTS` that takes no longer."""
        if self.seconds(MAX_REQUESTS) <= seconds:
            return MAX_REQUESTS
        # All take longer only if the fixed time alone does, or requests take some.
        return max(0.0, (seconds - self.batch_s) / self.request_s) if self.request_s else 0.0


class BatchSize:
    """The size for one worker; learns from the batches that it finished.

    Args:
        fixed: the size, if it is not to be learnt.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._value = MIN_REQUESTS if fixed is None else fixed
        self._is_warm = False
        self._batch_s = 0.0
        self._measured: dict[int, deque[tuple[int, float]]] = {}
        """Requests and seconds of batches, by the power of 2 that their size reaches."""

    @property
    def value(self) -> int:
        """Requests in the next batch, at most."""
        return self._value

    @property
    def is_worth_waiting(self) -> bool:
        """Whether a batch that is not full had better wait for more requests, for a moment."""
        return self._batch_s > WORTH_WAITING_S

    def learn(self, num_requests: int, device_busy_s: float) -> None:
        """Take what a batch took."""
        if num_requests < 1:
            return
        if not self._is_warm:  # the first batch pays for kernels and caches that the others find
            self._is_warm = True
            return
        alike = self._measured.setdefault(num_requests.bit_length(), deque(maxlen=NUM_KEPT))
        alike.append((num_requests, max(device_busy_s, SHORTEST_S)))
        batches = [batch for kept in self._measured.values() for batch in kept]
        largest = max(size for size, _ in batches)
        cost = fit_cost(batches)
        if cost is None:  # one size tells nothing of others: the next one shows
            longest_s = GROWTH * min(seconds for _, seconds in batches)
            wanted = GROWTH * largest if longest_s <= MAX_BATCH_S else largest
        else:
            self._batch_s = cost.batch_s
            wanted = min(cost.size(), GROWTH * largest)
            if len(self._measured[largest.bit_length()]) < NUM_TRIES:
                wanted = largest  # one measurement may be an accident
        if self._fixed is None:
            self._value = min(MAX_REQUESTS, max(MIN_REQUESTS, wanted))


def fit_cost(batches: Sequence[tuple[int, float]]) -> BatchCost | None:
    """The line through (requests, seconds) of batches; ``None`` if all have one size.

    It is the line of Theil (1950) and Sen (1968): the median of the slopes between all pairs, which
    a few batches that took ten times their time hardly move. Times vary in proportion to
    themselves, so that short batches and pairs of unlike sizes tell more: medians are weighted
    (Jaeckel 1972).
    """
    slopes = [
        ((other_s - seconds) / (other - size), abs(other - size) / math.hypot(seconds, other_s))
        for place, (size, seconds) in enumerate(batches)
        for other, other_s in batches[:place]
        if other != size
    ]
    if not slopes:
        return None
    request_s = max(0.0, _weighted_median(slopes))
    rests = [(seconds - size * request_s, 1.0 / seconds) for size, seconds in batches]
    batch_s = _weighted_median(rests)
    if batch_s < 0.0:  # a line that starts below nothing: all is per request
        rates = [(seconds / size, 1.0) for size, seconds in batches]
        return BatchCost(batch_s=0.0, request_s=_weighted_median(rates))
    return BatchCost(batch_s=batch_s, request_s=request_s)


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached, of (value, weight) pairs."""
    ordered = sorted(values)
    left = sum(weight for _, weight in ordered) / 2
    for value, weight in ordered:
        left -= weight
        if left <= 0.0:
            return value
    return ordered[-1][0]
