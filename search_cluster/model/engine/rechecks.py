"""Verdicts of finished answers, from the materialised model where batched arithmetic is in doubt.

Where a machine's arithmetic gives a row other bits in other company (see `arithmetic`), and in runs
that a former version began, an answer is computed once more, as the materialised model computes it,
wherever a gap decides (the best choice against the second best, the most likely token against the
next) and is not above the tie threshold. Elsewhere there are no rechecks.
"""

import time

from search_cluster.model.decoding import decode_greedily
from search_cluster.model.engine.answers import Answered
from search_cluster.model.engine.jobs import Job
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.scoring import evaluate_path
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict, distance_to_step

TIE_THRESHOLDS = {"float32": 5e-4, "bfloat16": 0.5, "float16": 0.06}
"""The tie threshold of each dtype, in nats between choices and in logits between tokens.

The one for float32 is four times the largest difference between batched arithmetic and the
materialised model that was seen in 2,000 verdicts of each kind; the others are guesses."""
MARGIN_NOISE = {"float32": 3e-4}
"""How near to a step of `MARGIN_STEP` a margin of each dtype may be, in nats, and still be trusted.

A nearer one is taken from the materialised model, so that coarse margins are the same in every
batch. The number is more than twice the largest difference that was seen. Other dtypes make no such
promise about their margins: their noise is wider than a step."""


class TieRechecks:
    """Grades answers, and computes the doubtful ones again on the materialised model.

    Args:
        loaded: the model.
        task: how answers are graded.
        threshold: gaps up to it are doubtful; ``None`` stands for no rechecks.
    """

    def __init__(self, loaded: LoadedModel, task: Task, threshold: float | None) -> None:
        self._loaded = loaded
        self._task = task
        self._threshold = threshold
        self.num_rechecks = 0
        self.recheck_seconds = 0.0

    @property
    def threshold(self) -> float:
        """Gaps up to it are computed again; 0 if none are."""
        return self._threshold or 0.0

    def verdict(self, job: Job, answered: Answered) -> Verdict:
        """The verdict, which is the materialised model's where a gap is too small.

        Raises:
            NonFiniteLogitsError: the materialised model's logits are NaN or infinite.
            Exception: whatever the task's grader raises.
        """
        # A gap of exactly the threshold is doubtful, too: with a threshold of 0 a tie is still
        # decided by the materialised model, which takes the first of equals.
        if self._threshold is not None and (
            answered.gap <= self._threshold or self._is_near_step(answered.margin)
        ):
            self.num_rechecks += 1
            started_s = time.perf_counter()
            try:
                if not self._is_confirmed(job, answered):
                    return evaluate_path(self._loaded, self._task, job.example, job.path)
            finally:
                self.recheck_seconds += time.perf_counter() - started_s
        num_tokens = job.known.trie.token_tree.num_context + answered.num_tokens
        return Verdict(
            reward=self._task.grade(job.example, answered.output),
            margin=answered.margin,
            output=answered.output,
            num_layer_tokens=len(job.path) * num_tokens,
            is_cut=answered.is_cut,
        )

    def _is_confirmed(self, job: Job, answered: Answered) -> bool:
        """Whether the materialised model generates the same, as far as gaps are too small.

        It generates up to the last token whose gap is too small. From there on the gaps decide, as
        they do in an answer without such a token.
        """
        tied = [
            number
            for number, (_, gap) in enumerate(answered.generated, start=1)
            if self._threshold is not None and gap <= self._threshold
        ]
        if not tied:  # Choices have no tokens to compare: they are scored again as a whole.
            return False
        tokens = decode_greedily(
            materialise(self._loaded.model, job.path),
            self._loaded.tokenizer,
            job.known.encoded.context_ids,
            max_new_tokens=tied[-1],
        )
        return tokens == tuple(token for token, _ in answered.generated[: tied[-1]])

    def _is_near_step(self, margin: float | None) -> bool:
        if margin is None:
            return False
        return distance_to_step(margin) <= MARGIN_NOISE.get(self._loaded.dtype, -1.0)
