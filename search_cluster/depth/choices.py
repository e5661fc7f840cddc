"""What a lens says of whole choices at each depth, scored as the product scores them.

A choice's score is its mean log-probability per token, all of them read at the same depth.

Shapes: Q questions, S states of a position, C choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_cluster.depth.readings import NO_TOKEN, Floats, Ints, ReadingTable

DECISION = -1
"""The label of the position where the answer begins; other positions are labelled by the choice
whose next token they are asked for."""


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


def choice_scores(table: ReadingTable, lens: str, questions: Sequence[int]) -> ChoiceScores:
    """The scores of the choices.

    Args:
        table: for each question a position labelled `DECISION`, where the first tokens of all
            choices are asked for, and one for each later token of each choice.
        lens: which lens.
        questions: prompts of the table, in the order that is wanted.
    """
    readings = table.lenses[lens]
    num_states = len(readings.top_SN)
    decision_N = table.label_N == DECISION
    num_choices = int((table.asked_NK[decision_N] != NO_TOKEN).sum(axis=1).max()) - 1
    sums = np.zeros((num_states, len(questions), num_choices))
    counts = np.zeros((len(questions), num_choices))
    place_of = {prompt: place for place, prompt in enumerate(questions)}
    place_N: NDArray[np.int64] = np.array(
        [place_of.get(int(prompt), -1) for prompt in table.prompt_N], dtype=np.int64
    )
    log_SNK = readings.log_probability_SNK.astype(np.float64)
    for row in np.flatnonzero(decision_N & (place_N >= 0)):
        there = table.asked_NK[row, 1 : 1 + num_choices] != NO_TOKEN
        sums[:, place_N[row], there] += log_SNK[:, row, 1 : 1 + num_choices][:, there]
        counts[place_N[row], there] += 1
    for row in np.flatnonzero(~decision_N & (place_N >= 0)):
        sums[:, place_N[row], table.label_N[row]] += log_SNK[:, row, 1]
        counts[place_N[row], table.label_N[row]] += 1
    mean_SQC = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)
    return ChoiceScores(score_SQC=mean_SQC)
