"""The fast engine: verdicts of many (example, path) pairs at once, as the materialised model's.

What two paths or two answers have in common is computed once: path prefixes share states
(`prefix_trie`), continuations share rows (`token_tree`), and all rows that wait for a layer share
its call (`scheduler`). Generated answers are drafted: the gold answer and answers seen for the
example before are run along with the prompt, and as long as the model's greedy choice is among them
no token is decoded one by one. Greedy output is unchanged.

Each verdict equals the materialised model's. Where batched arithmetic can't promise that, it is
taken from there (`rechecks`).

Shapes: R rows whose logits are read, D width, V vocabulary.
"""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from search_cluster.errors import ModelError, NonFiniteLogitsError, SearchClusterError
from search_cluster.model.decoding import end_ids
from search_cluster.model.engine.answers import (
    Answer,
    Answered,
    ChoiceAnswer,
    GeneratedAnswer,
    RowReading,
)
from search_cluster.model.engine.jobs import Job, KnownExample, mark_prefixes, wants_of
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import PrefixTrie, StateStore, TrieNode
from search_cluster.model.engine.rechecks import TieRechecks
from search_cluster.model.engine.scheduler import Scheduler, WorkCounters
from search_cluster.model.engine.token_tree import TokenTree
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict

MIN_SHARED_ROWS = 4
"""The smallest number of rows that is worth being shared between examples."""
HEAD_ROWS = 128
"""The largest number of rows whose logits are in memory together; each row has a whole
vocabulary."""

Outcome = Verdict | Exception
"""What the engine says of a request; an exception is that request's own, such as
`NonFiniteLogitsError`."""


class PathExecutor:
    """Evaluates paths of one task on one model. One thread uses it; states survive between calls.

    Args:
        loaded: a model of a supported family.
        task: how to ask and grade.
        max_state_bytes: the memory for states between and within calls; what a single path needs
            may exceed it.
        max_call_rows: the largest number of rows in one layer call.
        tie_threshold: deciding gaps up to it are recomputed by the materialised model; ``None``
            stands for the dtype's own threshold.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        task: Task,
        *,
        max_state_bytes: int = 2**30,
        max_call_rows: int = 1024,
        tie_threshold: float | None = None,
    ) -> None:
        self._loaded = loaded
        self._task = task
        self.store = StateStore(max_state_bytes)
        self._layers = LayerRunner(loaded.model)
        self._scheduler = Scheduler(self._layers, self.store, max_call_rows=max_call_rows)
        self._rechecks = TieRechecks(loaded, task, tie_threshold)
        self._known: dict[str, KnownExample] = {}
        self._shared: dict[tuple[int, ...], PrefixTrie] = {}
        self._keep_keys = task.kind is AnswerKind.GENERATE
        self._ends = end_ids(loaded.model, loaded.tokenizer)

    @property
    def counters(self) -> WorkCounters:
        """The work done so far, without what the materialised model computed again."""
        return self._scheduler.counters

    @property
    def tie_threshold(self) -> float:
        """The gap up to which an answer is computed again by the materialised model."""
        return self._rechecks.threshold

    @property
    def num_tie_rechecks(self) -> int:
        """The number of answers that were computed again so far."""
        return self._rechecks.num_rechecks

    @torch.inference_mode()
    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        """One outcome per request, in the same order.

        Neither the order nor the company of requests changes a verdict.
        """
        outcomes: dict[int, Outcome] = {}
        jobs: list[Job] = []
        for index, (example, path) in enumerate(requests):
            try:
                jobs.append(self._job(index, example, path))
            except SearchClusterError as error:
                outcomes[index] = error
        try:
            self._run(jobs, outcomes)
        finally:
            self._scheduler.release()
        self._forget_empty_tries()
        return [outcomes[index] for index in range(len(requests))]

    def _job(self, index: int, example: Example, path: LayerPath) -> Job:
        if path.num_layers != self._layers.num_layers:
            raise ModelError(
                f"path {path} is for {path.num_layers} layers; the model has "
                f"{self._layers.num_layers}"
            )
        known = self._known.get(example.example_id)
        if known is None:
            known = self._known[example.example_id] = self._new_example(example)
        answer: Answer
        if self._task.kind is AnswerKind.CHOICE:
            answer = ChoiceAnswer(example, known.encoded, known.trie.token_tree)
        else:
            answer = GeneratedAnswer(
                example, self._task, self._loaded.tokenizer, self._ends, known.trie.token_tree
            )
        return Job(index, example, path, known, answer)

    def _new_example(self, example: Example) -> KnownExample:
        encoded = encode_example(self._loaded, self._task, example)
        template_ids = encoded.context_ids[
            : min(encoded.num_template_ids, len(encoded.context_ids) - 1)
        ]
        shared = None
        if len(template_ids) >= MIN_SHARED_ROWS:
            shared = self._shared.get(template_ids)
            if shared is None:
                shared = self._shared[template_ids] = PrefixTrie(TokenTree(template_ids))
        return KnownExample(PrefixTrie(TokenTree(encoded.context_ids)), encoded, shared)

    def _run(self, jobs: list[Job], outcomes: dict[int, Outcome]) -> None:
        """Run rows and read logits in rounds until every job has an outcome.

        New jobs join as there is room.
        """
        order = {
            job.example.example_id: position for position, job in reversed(list(enumerate(jobs)))
        }
        mark_prefixes(jobs)
        # An example's jobs stand side by side, so that they run together and share states.
        waiting = deque(sorted(jobs, key=lambda job: order[job.example.example_id]))
        running: list[Job] = []
        while waiting or running:
            running += self._admit(waiting, running)
            self._scheduler.bring_up_to_date(wants_of(running, keep_keys=self._keep_keys))
            readings = self._read(running)
            still_running = []
            for job in running:
                try:
                    answered = job.answer.take(readings[job.index])
                except NonFiniteLogitsError as error:
                    outcomes[job.index] = error
                    continue
                if answered is None:
                    still_running.append(job)
                else:
                    outcomes[job.index] = self._graded(job, answered)
            running = still_running

    def _admit(self, waiting: deque[Job], running: list[Job]) -> list[Job]:
        """The next jobs to join the running ones, as many as the state budget has room for.

        At least one joins if none run. A generated answer takes up to a round for each token, with
        one row each. Jobs that generate join in parts that fill about one call of each layer, so
        that the few rows of those that are under way run along with the prompts of later ones.
        """
        sizes: dict[TrieNode, int] = {}
        for job in running:
            sizes.update(self._node_bytes(job))
        num_bytes = sum(sizes.values())
        limit = self.store.max_bytes
        if self._keep_keys:
            part_rows = self._layers.num_layers * self._scheduler.max_call_rows
            limit = min(limit, num_bytes + part_rows * self._layers.bytes_per_row(keep_keys=True))
        admitted: list[Job] = []
        while waiting:
            job = waiting[0]
            job.find_nodes()
            new = {node: size for node, size in self._node_bytes(job).items() if node not in sizes}
            num_bytes += sum(new.values())
            if num_bytes > limit and (running or admitted):
                break
            sizes |= new
            admitted.append(waiting.popleft())
        return admitted

    def _node_bytes(self, job: Job) -> dict[TrieNode, int]:
        """The estimated memory of the states of a job's nodes."""
        num_rows = (
            job.known.trie.token_tree.num_context
            - job.known.num_shared_rows
            + len(job.answer.wanted_rows())
        )
        own_bytes = num_rows * self._layers.bytes_per_row(keep_keys=self._keep_keys)
        shared_bytes = job.known.num_shared_rows * self._layers.bytes_per_row(keep_keys=True)
        return dict.fromkeys(job.nodes, own_bytes) | dict.fromkeys(job.shared_nodes, shared_bytes)

    def _read(self, jobs: list[Job]) -> dict[int, dict[int, RowReading]]:
        """The logits of all rows that the jobs ask for, read a bounded number at a time."""
        asked = [(job, row, tokens) for job in jobs for row, tokens in job.asked.items()]
        readings: dict[int, dict[int, RowReading]] = {job.index: {} for job in jobs}
        for first in range(0, len(asked), HEAD_ROWS):
            part = asked[first : first + HEAD_ROWS]
            hidden_RD = torch.cat([job.end_state.hidden([row]) for job, row, _ in part])
            logits_RV = self._layers.logits(hidden_RD).float()
            for (job, row, _), reading in zip(
                part, read_logits(logits_RV, [tokens for *_, tokens in part]), strict=True
            ):
                readings[job.index][row] = reading
        self.counters.head_rows += len(asked)
        return readings

    def _graded(self, job: Job, answered: Answered) -> Outcome:
        try:
            return self._rechecks.verdict(job, answered)
        except Exception as error:  # A grader's failure is this request's, not the batch's.
            return error

    def _forget_empty_tries(self) -> None:
        """Let go of examples of which no state is left."""
        self._known = {key: known for key, known in self._known.items() if known.trie.root.children}
        self._shared = {key: trie for key, trie in self._shared.items() if trie.root.children}


def read_logits(logits_RV: Tensor, asked: Sequence[Sequence[int]]) -> list[RowReading]:
    """What `RowReading` says, for rows of float32 logits.

    Args:
        logits_RV: the logits.
        asked: for each row the tokens whose log-probabilities are wanted. If no row names any, the
            most likely token of each row is read instead.
    """
    # A sum is finite only if all its terms are.
    finite = torch.isfinite(logits_RV.sum(dim=-1)).tolist()
    if any(asked):
        rows = [row for row, tokens in enumerate(asked) for _ in tokens]
        tokens = [token for row_tokens in asked for token in row_tokens]
        log_probs = (logits_RV[rows, tokens] - logits_RV.logsumexp(dim=-1)[rows]).tolist()
        found: list[dict[int, float]] = [{} for _ in asked]
        for row, token, log_prob in zip(rows, tokens, log_probs, strict=True):
            found[row][token] = log_prob
        return [
            RowReading(finite=ok, log_probs=values)
            for ok, values in zip(finite, found, strict=True)
        ]
    top = logits_RV.topk(2, dim=-1)
    best, gaps = top.indices[:, 0].tolist(), (top.values[:, 0] - top.values[:, 1]).tolist()
    return [
        RowReading(finite=ok, best_token=token, gap=gap)
        for ok, token, gap in zip(finite, best, gaps, strict=True)
    ]
