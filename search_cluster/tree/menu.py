"""A menu: paths that are known to be good for many questions, tried one after the other on each.

The menu comes from a study of other questions (`search_cluster.search.study.study`); this module
only proposes.
"""

import random
from dataclasses import dataclass

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.proposer import Proposer


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuPath:
    """A path with what the study saw of it: right answers on probe questions, beside identity's."""

    path: LayerPath
    num_right: int
    num_identity_right: int
    num_probes: int
    num_screened: int
    """The number of probe questions from which those were chosen on which it ran.

    It ran on the ones that identity is least sure of, and is taken to change none of the other
    answers."""
    chance: float | None = None
    """The share of the probes that guesses would answer; ``None`` unless all have choices."""
    fixing_place: int = 0
    """Its place if paths are tried so that each answers as many as possible of the probes that
    neither identity nor the paths before it answer."""
    sure: bool = True
    """Whether the study is sure that it is as good as identity on others; if not, it is for wrong
    answers only."""

    def __post_init__(self) -> None:
        if not 0 <= max(self.num_right, self.num_identity_right) <= self.num_probes:
            raise InvalidValueError(
                f"{self.num_right} and {self.num_identity_right} right answers on "
                f"{self.num_probes} probes; there are at most as many right answers as probes"
            )
        if self.num_probes > self.num_screened:
            raise InvalidValueError(
                f"{self.num_probes} probes chosen from {self.num_screened}; a path runs on at most "
                "all of them"
            )

    def keeps_accuracy(self, max_drop: float) -> bool:
        """Whether the path is right on probe questions almost as often as identity.

        It may be right less often by a share of them at most.
        """
        return self.num_right >= self.num_identity_right - max_drop * self.num_screened


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuSearch:
    """Implements `Strategy`: proposes the menu's paths one after the other, whatever they get."""

    menu: tuple[MenuPath, ...] = ()
    """The paths in the order of trial where identity is right; empty until the study has been
    made."""

    def start(self, root: LayerPath, root_reward: float, rng: random.Random) -> Proposer:
        """A proposer for one example; the menu leaves nothing to chance.

        A wrong answer is to be fixed first of all; on a right one only shorter paths can improve,
        and must be sure.
        """
        if root_reward >= 1.0:
            return MenuProposer(
                [item.path for item in self.menu if item.sure and len(item.path) < len(root)]
            )
        menu = sorted(self.menu, key=lambda item: item.fixing_place)
        return MenuProposer([item.path for item in menu if item.path != root])


class MenuProposer:
    """Implements `Proposer` over a list of distinct paths."""

    def __init__(self, paths: list[LayerPath]) -> None:
        self._waiting = paths[::-1]
        self._pending: set[LayerPath] = set()

    def propose(self, max_paths: int) -> list[LayerPath]:
        """The next paths of the menu."""
        proposed = [self._waiting.pop() for _ in range(min(max_paths, len(self._waiting)))]
        self._pending.update(proposed)
        return proposed

    def observe(self, path: LayerPath, reward: float) -> None:
        """Take note of an answer.

        Raises:
            InvalidValueError: the path waits for no answer, or the reward is outside [0, 1].
        """
        if not 0.0 <= reward <= 1.0:
            raise InvalidValueError(f"reward is {reward}; a reward lies in [0, 1]")
        self.abandon(path)

    def abandon(self, path: LayerPath) -> None:
        """Take note that a path failed.

        Raises:
            InvalidValueError: the path waits for no answer.
        """
        if path not in self._pending:
            raise InvalidValueError(f"path {path} is not pending; answer each proposed path once")
        self._pending.remove(path)
