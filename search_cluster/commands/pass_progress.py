"""How far a long pass over texts is: a line every few seconds on standard error."""

import time

from search_cluster.console import PROGRESS_INTERVAL_S, left_text, say


class PassProgress:
    """Says how much of what is done; the first line of each kind comes at once.

    Args:
        command: whose progress it is, in a word.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._what = ""
        self._started_s = self._said_s = 0.0
        self._first = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take how much is done, and of how much."""
        now_s = time.monotonic()
        if what != self._what:
            self._what, self._started_s, self._first = what, now_s, done
        elif now_s - self._said_s < PROGRESS_INTERVAL_S and done < total:
            return
        self._said_s = now_s
        gone_s, num_new = now_s - self._started_s, done - self._first
        left = f", {left_text(gone_s / num_new * (total - done))}" if num_new else ""
        say(f"{self._command}: {what} {done:,}/{total:,}{left if done < total else ''}")
