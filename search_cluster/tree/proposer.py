"""Who proposes paths: the seam between one example's search and the way it finds its paths."""

import random
from typing import Protocol

from search_cluster.paths.layer_path import LayerPath


class Proposer(Protocol):
    """Proposes paths for one example in rounds and takes their rewards back.

    It is pure: no clock, no I/O. What it proposes depends on the answers and on the generator that
    it was started with, not on the order in which the answers of a round arrive. It never proposes
    a path twice, nor the root.
    """

    def propose(self, max_paths: int) -> list[LayerPath]:
        """Up to ``max_paths`` new paths.

        There are none if nothing is left to propose before further answers come.
        """
        ...

    def observe(self, path: LayerPath, reward: float) -> None:
        """Take the reward, in [0, 1], of a proposed path.

        Raises:
            InvalidValueError: the path waits for no answer, or the reward is outside [0, 1].
        """
        ...

    def abandon(self, path: LayerPath) -> None:
        """Take note that a proposed path failed; it has no reward.

        Raises:
            InvalidValueError: the path waits for no answer.
        """
        ...


class Strategy(Protocol):
    """A way to find paths, with its settings; there is one for all examples of a run."""

    def start(self, root: LayerPath, root_reward: float, rng: random.Random) -> Proposer:
        """A proposer for one example.

        Args:
            root: the path that everything starts from (identity).
            root_reward: its reward in [0, 1].
            rng: the only source of randomness; owned by the proposer from here on.
        """
        ...
