"""How many requests a batch holds: so many that it is worth a fixed time on the device.

A batch that is over in a millisecond leaves a device waiting for the next one; a batch of seconds
makes a search wait for answers that were there long ago.
"""

TARGET_S = 0.1
"""Device time of a batch. At 50 ms and two batches in flight devices were busy 96 % of the time
(one process, Ray)."""
MIN_REQUESTS, MAX_REQUESTS = 16, 512
SMOOTHING = 0.3
"""Weight of the newest batch in the running mean of seconds per request."""


class BatchSize:
    """The size for one worker; learns from the batches that it finished.

    Args:
        fixed: the size, if it is not to be learnt.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._request_s: float | None = None

    @property
    def value(self) -> int:
        """Requests in the next batch, at most."""
        if self._fixed is not None:
            return self._fixed
        if self._request_s is None:
            return MIN_REQUESTS
        if self._request_s * MAX_REQUESTS <= TARGET_S:
            return MAX_REQUESTS
        return max(MIN_REQUESTS, round(TARGET_S / self._request_s))

    def learn(self, num_requests: int, device_busy_s: float) -> None:
        """Take what a batch took."""
        request_s = device_busy_s / max(1, num_requests)
        known = request_s if self._request_s is None else self._request_s
        self._request_s = known + SMOOTHING * (request_s - known)
