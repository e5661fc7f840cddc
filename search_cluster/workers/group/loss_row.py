"""How many workers were lost one after another, and when that ends a run."""

from search_cluster.errors import EvaluatorError

MAX_LOSSES_IN_A_ROW = 12
"""Workers lost without one result in between, beyond one each: then it is not the requests that
kill them."""


class LossRow:
    """Counts workers that were lost without one result in between.

    Args:
        where_to_look: what to do about workers that die one after another.
    """

    def __init__(self, where_to_look: str) -> None:
        self._where_to_look = where_to_look
        self._num_losses = 0

    def end(self) -> None:
        """Note that a result came."""
        self._num_losses = 0

    def count(self, num_workers: int, cause: str) -> None:
        """Note that a worker was lost.

        Args:
            num_workers: how many there were.
            cause: why it was lost, in one line.

        Raises:
            EvaluatorError: too many were lost in a row.
        """
        self._num_losses += 1
        if self._num_losses > MAX_LOSSES_IN_A_ROW + num_workers:
            raise EvaluatorError(
                f"workers died {self._num_losses} times without one result in between "
                f"({cause}); nothing found is lost: {self._where_to_look}, then run the same "
                "command again"
            )
