"""What a lens says of whole choices at each depth, scored as the product scores them.

A choice's score is its mean log-probability per token, all of them read at the same depth.

Shapes: Q questions, S states of a position, C choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.model.depth_states.later_tokens import LaterTokens
from search_cluster.model.depth_states.tables import NO_TOKEN, Floats, Ints, ReadingTable


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChoiceScores:
    """Scores of the choices of some questions, through one lens."""

    score_SQC: Floats
    """-inf where a question has fewer choices."""

    def best(self) -> Ints:
        """The choice ``[S, Q]`` with the best score, the first of equals."""
        return np.asarray(self.score_SQC.argmax(axis=2))

    def margin(self, gold_Q: Ints) -> Floats:
        """The right choice's score minus the best wrong one's ``[S, Q]``, in nats."""
        num_choices = self.score_SQC.shape[2]
        is_gold_QC = gold_Q[:, None] == np.arange(num_choices)
        gold_SQ = np.where(is_gold_QC, self.score_SQC, -np.inf).max(axis=2)
        wrong_SQ = np.where(is_gold_QC, -np.inf, self.score_SQC).max(axis=2)
        return np.asarray(gold_SQ - wrong_SQ, dtype=np.float64)

    def gap(self) -> Floats:
        """The best score minus the second best ``[S, Q]``, in nats."""
        ordered = np.sort(self.score_SQC, axis=2)
        return np.asarray(ordered[:, :, -1] - ordered[:, :, -2], dtype=np.float64)


def choice_scores(
    decisions: ReadingTable, later: LaterTokens, lens: str, questions: Sequence[int]
) -> ChoiceScores:
    """The scores of the choices.

    Args:
        decisions: for each question the position where its answer begins; the first tokens of all
            choices are asked for.
        later: the choices' other tokens.
        lens: which lens.
        questions: prompts of the table, in the order that is wanted.
    """
    log_SNK = decisions.lenses[lens].log_probability_SNK.astype(np.float64)
    row_of = {int(prompt): row for row, prompt in enumerate(decisions.prompt_N)}
    rows = [row_of[question] for question in questions]
    there_QC = decisions.asked_NK[rows, 1:] != NO_TOKEN
    sum_SQC = np.where(there_QC, log_SNK[:, rows, 1:], 0.0)
    count_QC = there_QC.astype(np.float64)
    place_of = {question: place for place, question in enumerate(questions)}
    for at, (prompt, choice) in enumerate(zip(later.prompt_M, later.choice_M, strict=True)):
        place = place_of.get(int(prompt))
        if place is not None:
            sum_SQC[:, place, choice] += later.log_SM[lens][:, at]
            count_QC[place, choice] += 1
    return ChoiceScores(
        score_SQC=np.where(count_QC > 0, sum_SQC / np.maximum(count_QC, 1), -np.inf)
    )
