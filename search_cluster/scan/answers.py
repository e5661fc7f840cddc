"""What paths answered to the questions of one list, and what that says of the paths.

Paths run on the first questions of the list, as many as somebody brings them to, so any two of them
can be compared on the questions on which both ran. A question to which the plain model has no
answer, such as one that is too long, says nothing of any path: nobody is compared on it. A path
that fails where the plain model answers is wrong.
"""

from collections.abc import Iterable, Iterator, Sequence

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.scan.gain import Gain, Usual, mean_gain, shrunk_gain, usual_of_single_layers
from search_cluster.scan.measures import change, is_right, worth
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict


class AnswerTable:
    """The answers of paths to questions, which whoever asks adds to.

    Args:
        questions: in a random order.
        identity: the plain model's path.
        facts: the fact that each question asks for (`search_cluster.tasks.facts`).

    Raises:
        InvalidValueError: there are more or fewer facts than questions.
    """

    def __init__(
        self, questions: Sequence[Example], identity: LayerPath, facts: Sequence[int]
    ) -> None:
        if len(facts) != len(questions):
            raise InvalidValueError(
                f"{len(facts)} facts for {len(questions)} questions; give one for each"
            )
        self.questions = list(questions)
        self.facts = list(facts)
        self.identity = identity
        self.by_path: dict[LayerPath, list[Verdict | None]] = {identity: []}
        """Answers to the first questions; ``None`` for a failure."""

    def missing(self, paths: Iterable[LayerPath], num_questions: int) -> list[Trial]:
        """What to ask until paths have run on so many questions.

        All paths of a question stand together, because they share prefixes.
        """
        known = {path: len(self.by_path.get(path, ())) for path in paths}
        in_order = sorted(known, key=lambda path: path.layers)
        return [
            (question, path)
            for place, question in enumerate(self.questions[:num_questions])
            for path in in_order
            if place >= known[path]
        ]

    def take(self, trials: Sequence[Trial], outcomes: Iterable[Outcome]) -> None:
        """Take outcomes, those of each path in the order of the questions."""
        for (_, path), outcome in zip(trials, outcomes, strict=True):
            answer = outcome if isinstance(outcome, Verdict) else None
            self.by_path.setdefault(path, []).append(answer)

    def right(self, path: LayerPath) -> list[bool]:
        """Which of the questions that it ran on a path answers right."""
        return [is_right(answer) for answer in self.by_path.get(path, [])]

    def places(self, path: LayerPath) -> list[int]:
        """The places of the questions that a path is compared on: it ran, the plain one answers."""
        num_asked = len(self.by_path.get(path, []))
        plain = self.by_path[self.identity][:num_asked]
        return [place for place, answer in enumerate(plain) if answer is not None]

    def changes(self, path: LayerPath, base: LayerPath) -> list[float]:
        """How far each of a path's answers is from the base's, in [0, 1], where both count."""
        return [change(answer, other) for answer, other in self._pairs(path, base)]

    def change(self, path: LayerPath, base: LayerPath) -> float:
        """How much the path changes the base's answers, in [0, 1] on average.

        It tells skill from luck: what changes little can't be right by chance.
        """
        changes = self.changes(path, base)
        return sum(changes) / len(changes) if changes else 1.0

    def gains(self, path: LayerPath, base: LayerPath) -> list[float]:
        """How much more each of a path's answers is worth than the base's, where both count."""
        return [worth(answer) - worth(other) for answer, other in self._pairs(path, base)]

    def gain(self, path: LayerPath, base: LayerPath, more: Sequence[float] = ()) -> Gain:
        """How much more the path's answers are worth than the base's.

        Args:
            path: the path.
            base: what it is compared with.
            more: gains of the same step elsewhere, which count, too.
        """
        return gain_of(
            [*self.gains(path, base), *more],
            self.change(path, base),
            has_margins=self.has_margins,
        )

    @property
    def has_margins(self) -> bool:
        """Whether any answer of the plain model has a margin."""
        identity_answers = self.by_path[self.identity]
        return any(answer is not None and answer.margin is not None for answer in identity_answers)

    def _pairs(
        self, path: LayerPath, base: LayerPath
    ) -> Iterator[tuple[Verdict | None, Verdict | None]]:
        """A path's answers and the base's to the questions that both are compared on."""
        own, others = self.by_path.get(path, []), self.by_path[base]
        return ((own[place], others[place]) for place in self.places(path) if place < len(others))


def gain_of(
    gains: Sequence[float],
    mean_change: float,
    *,
    has_margins: bool,
    usual: Usual = usual_of_single_layers,
) -> Gain:
    """The estimate that gains make: shrunk where answers have margins, else their plain mean.

    Without any gain a path loses all. For ``usual`` see `shrunk_gain`.
    """
    if not gains:
        return Gain(-1.0, 0.0)
    if not has_margins:
        return mean_gain(gains)
    return shrunk_gain(gains, mean_change, usual=usual)
