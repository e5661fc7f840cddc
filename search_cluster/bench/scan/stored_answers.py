"""What a table's paths answer, with this or that choice called right. Pure.

Shapes: Q questions, P paths, C choices.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from search_cluster.bench.scan.score_table import Bools, Floats, ScoreTable
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.rounds import Outcome
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.edits import TWICE, edits_of_path
from search_cluster.scan.racing.ranking import NEUTRAL, estimate, ranked
from search_cluster.scan.racing.usual import usual_gain
from search_cluster.scan.settings import Aim, Family
from search_cluster.scan.space import Candidate, first_candidates
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

Rows = NDArray[np.int64]
"""Places of questions in the table."""
NO_SCORES = Failure(kind="NonFiniteLogitsError", message="the table has no scores of the pair")


class StoredAnswers:
    """Stands in for the model: gives any pair's verdict as the engine would.

    Its examples stand in for the questions, whose texts a table does not have.

    Args:
        table: the scores.
        gold_Q: the choice of each question that is called right; ``None``: the right one.
    """

    def __init__(self, table: ScoreTable, gold_Q: Rows | None = None) -> None:
        self.table = table
        if gold_Q is None:
            gold_Q = np.array([item.gold_index for item in table.questions], dtype=np.int64)
        self.identity = table.paths[0]
        self.candidates = _candidates(table.paths)
        """The single edits of the table, as a scan makes them."""
        self.examples = tuple(
            Example(
                task=table.facts.task,
                question=item.example_id,
                choices=tuple(map(str, range(item.num_choices))),
                gold=str(gold),
                gold_index=int(gold),
                split=table.facts.split,
                source="a table of scores",
            )
            for item, gold in zip(table.questions, gold_Q, strict=True)
        )
        has_failed_QP: Bools = np.asarray(np.isnan(table.scores_QPC).all(axis=2))
        # No choice is never the best one; a path that failed keeps NaN throughout.
        is_choice_QPC = ~np.isnan(table.scores_QPC) | has_failed_QP[:, :, None]
        scores_QPC = np.where(is_choice_QPC, table.scores_QPC, -np.inf)
        self._chosen_QP = scores_QPC.argmax(axis=2)  # the first of equals, as the engine's
        self.right_QP = np.equal(self._chosen_QP, gold_Q[:, None]) & ~has_failed_QP
        """Which answers are right; a path that failed is not."""
        differences_QP = 1.0 * self.right_QP - self.right_QP[:, :1]
        self.differences_QP: Floats = np.where(table.was_asked_QP, differences_QP, np.nan)[:, 1:]
        """right(path) - right(plain), NaN for pairs that were not asked; the plain path's own
        column is left out."""
        is_gold_Q1C = np.equal.outer(gold_Q, np.arange(scores_QPC.shape[2]))[:, None, :]
        gold_QP = np.where(is_gold_Q1C, scores_QPC, -np.inf).max(axis=2)
        wrong_QP = np.where(is_gold_Q1C, -np.inf, scores_QPC).max(axis=2)
        self._margin_QP = gold_QP - wrong_QP
        self._places = {path: place for place, path in enumerate(table.paths)}
        self._rows = {example.example_id: row for row, example in enumerate(self.examples)}

    def facts_of(self, rows: Rows) -> list[int]:
        """The fact that each of some rows asks for; one that is drawn again is another one.

        In a table of a former version each question asks for a fact of its own.
        """
        num_drawn = Counter[int]()
        found, keys = [], dict[tuple[int | str, int], int]()
        for row in rows.tolist():
            key = (self.table.questions[row].asks_for, num_drawn[row])
            num_drawn[row] += 1
            found.append(keys.setdefault(key, len(keys)))
        return found

    def gain(self, path: LayerPath, rows: Rows) -> float:
        """The difference of a path's accuracy from the plain model's on some questions.

        Those that it was not asked count for neither; NaN if there are no others.
        """
        place = self._places[path]
        difference_R = 1.0 * self.right_QP[rows, place] - self.right_QP[rows, 0]
        difference_R = difference_R[self.table.was_asked_QP[rows, place]]
        return float(difference_R.mean()) if difference_R.size else np.nan

    def was_asked(self, path: LayerPath, rows: Rows) -> bool:
        """Whether the path was asked all of some questions."""
        return bool(self.table.was_asked_QP[rows, self._places[path]].all())

    def outcome(self, example: Example, path: LayerPath) -> Outcome:
        """The verdict of a pair."""
        return self._outcome(self._rows[example.example_id], self._places[path], len(path))

    def answer_table(self, rows: Rows, paths: Iterable[LayerPath]) -> AnswerTable:
        """The answers of the plain path and of others to some questions, in the rows' order."""
        questions = [self.examples[row] for row in rows]
        found = AnswerTable(questions, self.identity, self.facts_of(rows))
        trials = found.missing((self.identity, *paths), len(rows))
        found.take(trials, (self.outcome(*trial) for trial in trials))
        return found

    def _outcome(self, row: int, place: int, num_layers_run: int) -> Outcome:
        margin = float(self._margin_QP[row, place])
        if np.isnan(margin):
            return NO_SCORES
        return Verdict(
            reward=float(self.right_QP[row, place]),
            margin=margin if np.isfinite(margin) else None,  # of a single choice there is none
            output=str(self._chosen_QP[row, place]),
            num_layer_tokens=num_layers_run,
        )


def single_edit_paths(num_layers: int, max_block: int | None = None) -> tuple[LayerPath, ...]:
    """The plain path, and every path of a scan's first race."""
    candidates = first_candidates(
        num_layers,
        (Family.SKIP, Family.REPEAT),
        max_block=max_block or num_layers,
        passes=TWICE,
    )
    return (LayerPath.identity(num_layers), *(item.path for item in candidates))


def _candidates(paths: Sequence[LayerPath]) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(path=path, edits=edits_of_path(path), step=0)
        for path in paths
        if not path.is_identity
    )


def best_places(table: ScoreTable, num_paths: int) -> list[int]:
    """The places of the plain path and of the others that did best, by worth or by accuracy.

    Args:
        table: all its paths were asked all its questions.
        num_paths: how many others.
    """
    answers = StoredAnswers(table)
    rows = np.arange(len(table.questions))
    everything = answers.answer_table(rows, [item.path for item in answers.candidates])
    seen = [estimate(item, [everything]) for item in answers.candidates]
    usual = usual_gain((item.mean_change, item.seen) for item in seen)
    estimates = [estimate(item, [everything], usual) for item in answers.candidates]
    by_worth = [item.path for item in ranked(estimates, Aim.ACCURACY, NEUTRAL)]
    gains_P = answers.differences_QP.mean(axis=0)
    by_accuracy = [answers.candidates[place].path for place in np.argsort(-gains_P, kind="stable")]
    turns = dict.fromkeys(path for pair in zip(by_worth, by_accuracy, strict=True) for path in pair)
    chosen = {answers.identity, *list(turns)[:num_paths]}
    return [place for place, path in enumerate(table.paths) if path in chosen]
