"""The state machine of one example: identity first, then rounds of its preset's proposer, then a record.

Pure. It proposes paths and takes their outcomes in the order of proposal, so its result depends on the seed and the
outcomes alone, not on when they arrive.
"""

import random
from collections.abc import Sequence

from search_cluster.corpus.record import ExampleRecord, PathFailure, PathVerdict
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.search.rounds import Trial
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.best import best_paths, pareto_front
from search_cluster.tree.proposer import Proposer
from search_cluster.tree.settings import SearchPreset, StopRule, make_proposer


class ExampleSearch:
    """Searches the paths of one example. Call `propose`, evaluate, `observe`; repeat until `done`; then `record`."""

    def __init__(self, example: Example, *, num_layers: int, preset: SearchPreset, seed: int) -> None:
        self.example = example
        self._preset = preset
        self._identity_path = LayerPath.identity(num_layers)
        self._rng = random.Random(derive_seed(seed, example.example_id))
        self._proposer: Proposer | None = None
        self._identity: Verdict | None = None
        self._round: list[LayerPath] = []
        self._evaluated: list[PathVerdict] = []
        self._failures: list[PathFailure] = []
        self._improved = False
        self._stop_reason: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left to propose."""
        return self._stop_reason is not None

    @property
    def num_searched(self) -> int:
        """Paths whose outcome was delivered, failures included."""
        return len(self._evaluated) + len(self._failures)

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
            raise InvalidValueError(f"{len(self._round)} paths wait for outcomes; observe them before the next round")
        if self.done:
            return []
        if self._proposer is None:
            self._round = [self._identity_path]
        else:
            room = min(self._preset.leaves_per_round, self._preset.budget - self.num_searched)
            self._round = self._proposer.propose(room)
        if not self._round:
            self._stop_reason = "exhausted" if self.num_searched < self._preset.budget else "budget"
        return list(self._round)

    def next_round(self) -> list[Trial]:
        """As `propose`, with the example to evaluate each path on."""
        return [(self.example, path) for path in self.propose()]

    def observe(self, outcomes: Sequence[Verdict | Failure]) -> None:
        """Take the outcomes of the last round, in the order in which its paths were proposed.

        Raises:
            InvalidValueError: not one outcome for each proposed path.
        """
        if len(outcomes) != len(self._round):
            raise InvalidValueError(
                f"{len(outcomes)} outcomes for {len(self._round)} proposed paths; give one for each"
            )
        for path, outcome in zip(self._round, outcomes, strict=True):
            if isinstance(outcome, Failure):
                self._take_failure(path, outcome)
            else:
                self._take_verdict(path, outcome)
        self._round = []
        if self._proposer is None:
            self._stop_reason = "failed"
        elif self._improved and self._preset.stop_rule is StopRule.FIRST_IMPROVEMENT:
            self._stop_reason = "improved"
        elif self.num_searched >= self._preset.budget:
            self._stop_reason = "budget"

    def _take_failure(self, path: LayerPath, failure: Failure) -> None:
        self._failures.append(PathFailure(path=path, kind=failure.kind, message=failure.message))
        if self._proposer is not None:
            self._proposer.abandon(path)

    def _take_verdict(self, path: LayerPath, verdict: Verdict) -> None:
        self._evaluated.append(PathVerdict(path=path, verdict=verdict))
        if self._proposer is None or self._identity is None:
            self._identity = verdict
            self._proposer = make_proposer(path, verdict.reward, self._preset, self._rng)
            return
        self._proposer.observe(path, verdict.reward)
        if verdict.is_correct and (not self._identity.is_correct or len(path) < len(self._identity_path)):
            self._improved = True

    def record(self) -> ExampleRecord:
        """What was found.

        Raises:
            InvalidValueError: the search is not done.
        """
        if self._stop_reason is None:
            raise InvalidValueError(
                f"example {self.example.example_id} is still being searched; a record comes at the end"
            )
        verdicts = {item.path: item for item in self._evaluated}
        rewarded = [(item.path, item.verdict.reward) for item in self._evaluated]
        best = best_paths(rewarded, num_best=self._preset.num_best) if self._identity else []
        front = pareto_front(rewarded)
        return ExampleRecord(
            example=self.example,
            identity=self._identity,
            evaluated=tuple(self._evaluated),
            failures=tuple(self._failures),
            best=tuple(verdicts[path] for path in best),
            pareto=tuple(verdicts[path] for path in front),
            stop_reason=self._stop_reason,
        )
