"""The search of one example whose best paths must be credible.

Credible: right here, right when the question is put differently as often as identity and at least
once, and no worse than identity on other questions. Of a question that can't be put differently no
path is credible: nothing speaks for it.

Written as one generator: each ``yield`` is a round of evaluations, and what comes back are their
outcomes. Every evaluation counts against the budget.
"""

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from search_cluster.corpus.record import ExampleRecord, PathEvidence
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.rounds import Outcome, SteppedRounds, Trial
from search_cluster.search.ledger import ExampleLedger, back_up
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.evidence import EvidenceRule
from search_cluster.tree.menu import MenuPath
from search_cluster.tree.settings import SearchPreset, make_proposer

PERTURBATIONS_IF_WRONG = 1
"""Perturbations of each kind where identity answers the question wrong. It is seldom right on the
perturbations then, so that to be right as often as identity there proves little, and the budget is
better spent on more paths."""
MORE_PERTURBATIONS = 4
"""Evaluations of one more perturbation of each kind, by a path and by identity."""

Steps = Generator[list[Trial], Sequence[Outcome], str]
"""The rounds of one example; what the generator returns is why the search ended."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How often a path and identity are right on one kind of perturbations."""

    num_right: int = 0
    num_identity_right: int | None = None
    """``None`` if identity was not asked."""
    num_asked: int = 0

    @property
    def is_credible(self) -> bool:
        """Whether the path is certainly right as often as identity."""
        at_most = self.num_asked if self.num_identity_right is None else self.num_identity_right
        return self.num_right >= at_most


class GuardedSearch(SteppedRounds[str]):
    """Implements `Rounds` for one example of a preset with an `EvidenceRule`.

    Args:
        example: what is searched.
        guide: perturbations of it that may steer the search.
        verify: perturbations that only confirm.
        menu: what is known of paths on other questions; a path that is not in it has no evidence of
            transfer.
        num_layers: the model's depth.
        preset: how to propose, and what to require.
        budget: evaluations at most, perturbations included.
        seed: the whole run's seed.
    """

    def __init__(
        self,
        example: Example,
        *,
        guide: Sequence[Example],
        verify: Sequence[Example],
        menu: Sequence[MenuPath],
        num_layers: int,
        preset: SearchPreset,
        budget: int,
        seed: int,
    ) -> None:
        if preset.evidence is None:
            raise InvalidValueError(
                f"preset {preset.name} asks for no evidence; search its examples unguarded"
            )
        self.example = example
        self._ledger = ExampleLedger(
            example, LayerPath.identity(num_layers), num_best=preset.num_best
        )
        self._rule: EvidenceRule = preset.evidence
        self._guide, self._verify = tuple(guide), tuple(verify)
        self._menu: Mapping[LayerPath, MenuPath] = {item.path: item for item in menu}
        self._preset, self._budget = preset, budget
        self._rng = random.Random(derive_seed(seed, example.example_id))
        self._evidence: list[PathEvidence] = []
        self._num_each = max(len(self._guide), len(self._verify))
        """Perturbations of each kind that a path is tried on."""
        self._is_right: dict[Trial, bool] = {}
        """Whether a path is right on a perturbation, by both."""
        self._start(self._search())

    def _take(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
        self._ledger.take(trials, outcomes)

    def _end(self, ending: str) -> None:
        self._ledger.stop_reason = ending

    def _search(self) -> Steps:
        (identity,) = yield [(self.example, self._ledger.identity_path)]
        if isinstance(identity, Failure):
            return "failed"
        if not identity.is_correct:
            self._num_each = min(self._num_each, PERTURBATIONS_IF_WRONG)
        proposer = make_proposer(
            self._ledger.identity_path, identity.reward, self._preset, self._rng
        )
        while (room := self._left - self._cost_to_examine) > 0:
            paths = proposer.propose(min(room, self._preset.leaves_per_round))
            if not paths:
                return "exhausted"
            outcomes = yield [(self.example, path) for path in paths]
            back_up(proposer, paths, outcomes)
            for path in self._candidates(paths, outcomes):
                if self._left < self._cost_to_examine:
                    return "budget"
                if (yield from self._examine(path)):
                    return "improved"
        return "budget"

    @property
    def _cost_to_examine(self) -> int:
        """Evaluations of a path's perturbations.

        If there is room for no more than these, the path must be right on every one.
        """
        return len(self._guide[: self._num_each]) + len(self._verify[: self._num_each])

    @property
    def _left(self) -> int:
        return self._budget - self._ledger.num_spent

    def _candidates(
        self, paths: Sequence[LayerPath], outcomes: Sequence[Outcome]
    ) -> list[LayerPath]:
        """Paths of a round that improve on identity, if only they are credible; shortest first."""
        right = [
            path
            for path, outcome in zip(paths, outcomes, strict=True)
            if self._ledger.improves(path, outcome) and self._transfers(path)
        ]
        return sorted(right, key=lambda path: (len(path), path.layers))

    def _transfers(self, path: LayerPath) -> bool:
        known = self._menu.get(path)
        return (
            known is not None
            and known.keeps_accuracy(self._rule.max_probe_drop)
            and self._rule.enough_probes_right(known.num_right, known.num_probes)
        )

    def _examine(self, path: LayerPath) -> Generator[list[Trial], Sequence[Outcome], bool]:
        """Try a right path on the perturbations; whether it is credible.

        It must be right as often as identity on both kinds, and on as many as the rule says. If it
        is right on fewer, more of them are asked, if there are more.
        """
        known = self._menu[path]
        most = max(len(self._guide), len(self._verify))
        for num_each in range(self._num_each, max(self._num_each, most) + 1):
            guide = yield from self._compare(path, self._guide[:num_each], reserved=self._num_each)
            verify = _Comparison()
            if guide.is_credible:
                verify = yield from self._compare(path, self._verify[:num_each], reserved=0)
            passed = guide.is_credible and verify.is_credible
            seen = guide.num_right + verify.num_right >= self._rule.min_right
            if not passed or seen or self._left < MORE_PERTURBATIONS:
                break
        self._evidence.append(
            PathEvidence(
                path=path,
                guide_right=guide.num_right,
                guide_identity_right=guide.num_identity_right,
                num_guide=guide.num_asked,
                verify_right=verify.num_right,
                verify_identity_right=verify.num_identity_right,
                num_verify=verify.num_asked,
                probe_right=known.num_right,
                probe_identity_right=known.num_identity_right,
                num_probes=known.num_probes,
                credible=passed and seen,
                num_screened=known.num_screened,
                probe_chance=known.chance,
            )
        )
        return passed and seen

    def _compare(
        self, path: LayerPath, perturbed: Sequence[Example], *, reserved: int
    ) -> Generator[list[Trial], Sequence[Outcome], "_Comparison"]:
        """Count right answers to one kind of perturbations.

        Identity is asked where a path is wrong somewhere, if evaluations are left besides those
        that are reserved; what is right everywhere can't be worse.
        """
        num_right = yield from self._count_right(path, perturbed)
        num_new = sum(
            (example, self._ledger.identity_path) not in self._is_right for example in perturbed
        )
        num_identity_right = None
        if perturbed and (
            not num_new or (num_right < len(perturbed) and self._left >= num_new + reserved)
        ):
            num_identity_right = yield from self._count_right(self._ledger.identity_path, perturbed)
        return _Comparison(num_right, num_identity_right, len(perturbed))

    def _count_right(
        self, path: LayerPath, perturbed: Sequence[Example]
    ) -> Generator[list[Trial], Sequence[Outcome], int]:
        """How many answers of a path are right; what is not known yet is asked in one round."""
        trials = [(example, path) for example in perturbed]
        if new := [
            trial for trial in trials if trial not in self._is_right
        ]:  # an empty round would end the search
            for trial, outcome in zip(new, (yield new), strict=True):
                self._is_right[trial] = isinstance(outcome, Verdict) and outcome.is_correct
        return sum(self._is_right[trial] for trial in trials)

    def result(self) -> ExampleRecord:
        """What was found; the best paths are the best of the credible ones.

        Raises:
            InvalidValueError: the search is not done.
        """
        record = self._ledger.record()
        credible = {item.path for item in self._evidence if item.credible}
        return replace(
            record,
            best=self._ledger.best(credible | {self._ledger.identity_path}),
            evidence=tuple(self._evidence),
            unguarded=record.best,
        )
