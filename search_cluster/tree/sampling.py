"""Baselines that learn nothing from answers: a line of random edits, and random programs.

They are here to be measured against; a search that does not beat them is not worth its budget.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.untried import Untried

MAX_REDRAWS = 1000
"""The number of draws in a row without a new path after which a space counts as used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSearch:
    """One line of random edits, each applied to the path proposed last, whatever the answers say.

    This is what the published Dr.LLM code does: it expands childless nodes only, so each node gets
    one child, its score never chooses between two, and the path decays.
    """

    space: SearchSpace

    def start(self, root: LayerPath, root_reward: float, rng: random.Random) -> "PathStream":
        """The line that begins at the root."""
        return PathStream(_chain(root, self.space, rng))


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSearch:
    """Independent paths: up to ``max_edits`` random legal edits of the root each.

    There is at least one, and all numbers are equally likely.
    """

    space: SearchSpace
    max_edits: int

    def start(self, root: LayerPath, root_reward: float, rng: random.Random) -> "PathStream":
        """An unordered sample of the space around the root."""
        return PathStream(_random_programs(root, self.space, self.max_edits, rng))


class PathStream:
    """A `Proposer` that hands out the paths of an iterator; rewards change nothing.

    Args:
        paths: distinct paths, none of them the root.
    """

    def __init__(self, paths: Iterator[LayerPath]) -> None:
        self._paths = paths
        self._pending: set[LayerPath] = set()

    def propose(self, max_paths: int) -> list[LayerPath]:
        """The next ``max_paths`` paths; fewer at the end."""
        proposed = list(islice(self._paths, max_paths))
        self._pending.update(proposed)
        return proposed

    def observe(self, path: LayerPath, reward: float) -> None:
        """Check the answer and forget it.

        Raises:
            InvalidValueError: the path is not pending, or the reward is outside [0, 1].
        """
        if not 0.0 <= reward <= 1.0:
            raise InvalidValueError(f"reward is {reward}; a reward lies in [0, 1]")
        self.abandon(path)

    def abandon(self, path: LayerPath) -> None:
        """Check that the path was waiting.

        Raises:
            InvalidValueError: the path is not pending.
        """
        if path not in self._pending:
            raise InvalidValueError(f"path {path} is not pending; answer each proposed path once")
        self._pending.remove(path)


def _chain(root: LayerPath, space: SearchSpace, rng: random.Random) -> Iterator[LayerPath]:
    """Each path an edit of the one before; ends where no edit leads to a new path."""
    seen = {root}
    path = root
    while (edited := _random_edit(path, space, rng, avoid=seen)) is not None:
        path = edited
        seen.add(path)
        yield path


def _random_programs(
    root: LayerPath, space: SearchSpace, max_edits: int, rng: random.Random
) -> Iterator[LayerPath]:
    seen = {root}
    redraws = 0
    while redraws < MAX_REDRAWS:
        path = root
        for _ in range(1 + int(rng.random() * max_edits)):
            edited = _random_edit(path, space, rng, avoid=set())
            if edited is None:
                break
            path = edited
        if path in seen:
            redraws += 1
            continue
        redraws = 0
        seen.add(path)
        yield path


def _random_edit(
    path: LayerPath, space: SearchSpace, rng: random.Random, *, avoid: set[LayerPath]
) -> LayerPath | None:
    """A legal edit of ``path``, drawn as the space says.

    It is ``None`` if all lead to ``avoid`` or nowhere.
    """
    untried = Untried(space.group_sizes(path))
    while untried.num_left:
        edited = space.edit(path, untried.draw(rng))
        if edited is not None and edited not in avoid:
            return edited
    return None
