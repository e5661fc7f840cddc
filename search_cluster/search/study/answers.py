"""What paths answered to the probe questions, and which of them make a menu."""

import math
from collections.abc import Sequence
from dataclasses import replace

from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.constants import ANSWERS
from search_cluster.scan.measures import distance
from search_cluster.search.study.constants import STUDY
from search_cluster.tasks.example import Example
from search_cluster.tree.menu import MenuPath


class ProbeAnswers(AnswerTable):
    """The answers of paths to probes, which the study adds to.

    Args:
        probes: questions, in a random order.
        identity: the plain model's path.
        max_drop: how much rarer than identity a path may be right, as a share of the probes.
        num_usual: how many of them a path runs on unless it is dropped; ``None``: all.
    """

    def __init__(
        self,
        probes: Sequence[Example],
        identity: LayerPath,
        *,
        max_drop: float,
        num_usual: int | None = None,
    ) -> None:
        super().__init__(probes, identity, range(len(probes)))  # no interval is made of them
        self._max_drop = max_drop
        self._num_usual = num_usual
        self._close_share = 1.0

    def keep_close_probes(self) -> None:
        """Keep those probes whose answers a path can change most easily; identity has run on all.

        Called before any other path runs. None stay if they are too few to learn from.
        """
        answers = self.by_path[self.identity]
        distances = {
            place: distance(answer) for place, answer in enumerate(answers) if answer is not None
        }
        num_close = round(STUDY.close_share * len(distances))
        kept = sorted(sorted(distances, key=distances.__getitem__)[:num_close])
        if len(kept) < STUDY.min_probes:
            kept = []
        self._close_share = STUDY.close_share
        self.questions = [self.questions[place] for place in kept]
        self.facts = [self.facts[place] for place in kept]
        self.by_path[self.identity] = [answers[place] for place in kept]

    def menu(self, max_paths: int) -> tuple[MenuPath, ...]:
        """The paths that ran on enough probes and are likely good, shortest first, not identity."""
        if not self.questions:
            return ()
        likely = [
            self._item(path)
            for path in self.by_path
            if path != self.identity and self._is_likely(path)
        ]
        credible = [item for item in likely if item.keeps_accuracy(self._max_drop)]
        best = sorted(credible, key=lambda item: self.rank(item.path))[:max_paths]
        places = self._fixing_places([item.path for item in best])
        items = [replace(item, fixing_place=places[item.path]) for item in best]
        return tuple(
            sorted(items, key=lambda item: (len(item.path), -item.num_right, item.path.layers))
        )

    def _item(self, path: LayerPath) -> MenuPath:
        num_probes = len(self.by_path[path])
        num_choices = [len(probe.choices) for probe in self.questions[:num_probes]]
        return MenuPath(
            path=path,
            num_right=len(self._right_probes(path)),
            num_identity_right=sum(self.right(self.identity)[:num_probes]),
            num_probes=num_probes,
            num_screened=round(num_probes / self._close_share) if self.has_margins else num_probes,
            chance=sum(1 / num for num in num_choices) / num_probes if all(num_choices) else None,
            sure=self._is_sure(path),
        )

    def _fixing_places(self, paths: Sequence[LayerPath]) -> dict[LayerPath, int]:
        """The order in which paths add most to the probes that are answered right.

        The shorter path comes first among equals.
        """
        right = {path: self._right_probes(path) for path in (self.identity, *paths)}
        open_probes = set(range(len(self.questions))) - right[self.identity]
        left = sorted(paths, key=lambda path: (len(path), path.layers))
        places = dict[LayerPath, int]()
        while left:
            path = max(left, key=lambda path: len(open_probes & right[path]))  # the first of equals
            open_probes -= right[path]
            places[path] = len(places)
            left.remove(path)
        return places

    def _right_probes(self, path: LayerPath) -> set[int]:
        return {place for place, is_hit in enumerate(self.right(path)) if is_hit}

    def rank(self, path: LayerPath) -> tuple[int, float, tuple[int, ...]]:
        """Sorts paths: more probes first, then the smallest change of answers, then by layers."""
        num_probes = len(self.by_path.get(path, []))
        return -num_probes, self.change(path, self.identity), path.layers

    @property
    def num_enough(self) -> int:
        """Probes that are enough to judge a path by."""
        num_usual = len(self.questions) if self._num_usual is None else self._num_usual
        share = math.ceil(STUDY.enough_share * num_usual)
        return min(len(self.questions), max(STUDY.enough_probes, share))

    def _is_likely(self, path: LayerPath) -> bool:
        """Whether the path ran on enough probes and is probably as good as identity there."""
        has_enough = len(self.by_path[path]) >= self.num_enough
        return has_enough and self.is_near(path, STUDY.likely_errors)

    def _is_sure(self, path: LayerPath) -> bool:
        return self.is_near(path, STUDY.worth_errors if self.has_margins else STUDY.min_errors)

    def is_near(self, path: LayerPath, num_errors: float) -> bool:
        """Whether the path is as good as identity even if the probes flatter it.

        Args:
            path: the path.
            num_errors: by how many standard errors they may flatter it.
        """
        tolerated = self._max_drop * (ANSWERS.worth_share if self.has_margins else 1.0)
        return self.gain(path, self.identity).keeps(tolerated, num_errors)
