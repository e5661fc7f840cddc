"""The state machine of one example: identity first, then rounds of its preset's proposer.

Pure. It proposes paths and takes their outcomes in the order of proposal, so its result depends on
the seed and the outcomes alone, not on when they arrive.
"""

import random
from collections.abc import Sequence

from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.search.ledger import ExampleLedger, back_up
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed
from search_cluster.tree.proposer import Proposer
from search_cluster.tree.settings import SearchPreset, StopRule, make_proposer


class ExampleSearch:
    """Implements `Rounds` for one example of a preset without evidence.

    Call `propose`, evaluate, `observe`; repeat until `done`; then ask for the `result`.
    """

    def __init__(
        self, example: Example, *, num_layers: int, preset: SearchPreset, seed: int
    ) -> None:
        self.example = example
        self._preset = preset
        self._ledger = ExampleLedger(
            example, LayerPath.identity(num_layers), num_best=preset.num_best
        )
        self._rng = random.Random(derive_seed(seed, example.example_id))
        self._proposer: Proposer | None = None
        self._round: list[LayerPath] = []

    @property
    def done(self) -> bool:
        """Whether nothing is left to propose."""
        return self._ledger.stop_reason is not None

    @property
    def num_searched(self) -> int:
        """Paths whose outcome was delivered, failures included."""
        return self._ledger.num_spent

    @property
    def proposer(self) -> Proposer | None:
        """Who proposes, to be looked at only; ``None`` until identity has a verdict."""
        return self._proposer

    def propose(self) -> list[LayerPath]:
        """The next round: 1 to ``leaves_per_round`` new paths; empty exactly if the search is done.

        Raises:
            InvalidValueError: the last round was not observed yet.
        """
        if self._round:
            raise InvalidValueError(
                f"{len(self._round)} paths wait for outcomes; observe them before the next round"
            )
        if self.done:
            return []
        if self._proposer is None:
            self._round = [self._ledger.identity_path]
        else:
            room = min(self._preset.leaves_per_round, self._preset.budget - self.num_searched)
            self._round = self._proposer.propose(room)
        if not self._round:
            has_budget = self.num_searched < self._preset.budget
            self._ledger.stop_reason = "exhausted" if has_budget else "budget"
        return list(self._round)

    def next_round(self) -> list[Trial]:
        """Propose as `propose` does, with the example to evaluate each path on."""
        return [(self.example, path) for path in self.propose()]

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of the last round, in the order in which its paths were proposed.

        Raises:
            InvalidValueError: not one outcome for each proposed path.
        """
        if len(outcomes) != len(self._round):
            raise InvalidValueError(
                f"{len(outcomes)} outcomes for {len(self._round)} proposed paths; give one for each"
            )
        paths, self._round = self._round, []
        self._ledger.take([(self.example, path) for path in paths], outcomes)
        if self._proposer is None:
            self._begin()
            improved = False
        else:
            back_up(self._proposer, paths, outcomes)
            improved = any(map(self._ledger.improves, paths, outcomes))
        if self._proposer is None:
            self._ledger.stop_reason = "failed"
        elif improved and self._preset.stop_rule is StopRule.FIRST_IMPROVEMENT:
            self._ledger.stop_reason = "improved"
        elif self.num_searched >= self._preset.budget:
            self._ledger.stop_reason = "budget"

    def _begin(self) -> None:
        """Make the proposer from identity's reward; there is none if identity failed."""
        identity = self._ledger.identity
        if identity is not None:
            self._proposer = make_proposer(
                self._ledger.identity_path, identity.reward, self._preset, self._rng
            )

    def result(self) -> ExampleRecord:
        """What was found.

        Raises:
            InvalidValueError: the search is not done.
        """
        return self._ledger.record()
