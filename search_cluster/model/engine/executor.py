"""The fast engine: verdicts of many (example, path) pairs at once, each as if it were alone.

What two paths or two answers have in common is computed once: path prefixes share states
(`prefix_trie`), continuations share rows (`token_tree`), and all rows that wait for a layer share
its call (`scheduler`). Generated answers are drafted: the gold answer and answers seen for the
example before are run along with the prompt, and as long as the model's greedy choice is among them
no token is decoded one by one. Greedy output is unchanged.

A verdict is read off the engine's own rows, whose bits do not depend on their company
(`arithmetic`). Where a machine's arithmetic can't promise that, doubtful verdicts are the
materialised model's (`rechecks`).
"""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch

from search_cluster.errors import ModelError, NonFiniteLogitsError, SearchClusterError
from search_cluster.model.decoding import end_ids
from search_cluster.model.engine.admission import Admission
from search_cluster.model.engine.answers import (
    Answer,
    Answered,
    ChoiceAnswer,
    GeneratedAnswer,
    RowReading,
)
from search_cluster.model.engine.call_rows import final_rows
from search_cluster.model.engine.calls.call_limits import HEAD_CALLS, RowLimit, usual_rows
from search_cluster.model.engine.invariance.arithmetic import Arithmetic, probe_arithmetic
from search_cluster.model.engine.invariance.head import HEAD_CALL_ROWS, is_tried
from search_cluster.model.engine.jobs import Job, KnownExample, mark_prefixes
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import PrefixTrie
from search_cluster.model.engine.reading import MIN_ROWS, SPARE_ROWS, read_logits
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS, TieRechecks
from search_cluster.model.engine.scheduler import Scheduler
from search_cluster.model.engine.slabs import ZERO_SLOT, Slots
from search_cluster.model.engine.state_memory import new_store
from search_cluster.model.engine.token_tree import TokenTree
from search_cluster.model.engine.work_counters import WorkCounters
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict

MIN_SHARED_ROWS = 4
"""The smallest number of rows that is worth being shared between examples."""

Outcome = Verdict | Exception
"""What the engine says of a request; an exception is that request's own, such as
`NonFiniteLogitsError`."""


class PathExecutor:
    """Evaluates paths of one task on one model. One thread uses it; states survive between calls.

    Requests may join while others run (`submit`, `step`); `evaluate` does both for a whole batch.

    Args:
        loaded: a model of a supported family.
        task: how to ask and grade.
        max_state_bytes: the memory for states between and within calls; what a single path needs
            may exceed it on a CPU, and anywhere if it is 0.
        max_call_rows: the largest number of rows in one layer call; ``None``: the device's.
        head_rows: the largest number of rows whose logits are in memory together; ``None``: the
            device's.
        tie_threshold: deciding gaps up to it are recomputed by the materialised model; ``None``:
            no recheck where rows have the same bits in any company, else the dtype's own threshold.
        on_answered: called with each answer before it is graded.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        task: Task,
        *,
        max_state_bytes: int = 2**30,
        max_call_rows: int | None = None,
        head_rows: int | None = None,
        tie_threshold: float | None = None,
        on_answered: Callable[[Job, Answered], None] | None = None,
    ) -> None:
        self._loaded = loaded
        self._task = task
        self.arithmetic: Arithmetic = probe_arithmetic(loaded.model)
        """Whether and how rows have the same bits in any company."""
        self._layers = LayerRunner(loaded.model, self.arithmetic.products)
        usual_call_rows, usual_head_rows = usual_rows(self._layers.devices.first.type)
        self._keep_keys = task.kind is AnswerKind.GENERATE
        self.store = new_store(self._layers, max_state_bytes, keep_keys=self._keep_keys)
        self._scheduler = Scheduler(
            self._layers,
            self.store,
            arithmetic=self.arithmetic,
            max_call_rows=max_call_rows or usual_call_rows,
        )
        if tie_threshold is None and not self.arithmetic.is_invariant:
            tie_threshold = TIE_THRESHOLDS[loaded.dtype]
        self._rechecks = TieRechecks(loaded, task, tie_threshold)
        self._head_limit = RowLimit(
            head_rows or usual_head_rows,
            MIN_ROWS if is_tried(self._layers.devices.last) else HEAD_CALL_ROWS,
            HEAD_CALLS,
        )
        self._known: dict[str, KnownExample] = {}
        self._shared: dict[tuple[int, ...], PrefixTrie] = {}
        self._ends = end_ids(loaded.model, loaded.tokenizer)
        self._on_answered = on_answered
        self._admission = Admission(self._layers, self.store, self._scheduler, self._keep_keys)
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._failed: dict[int, Outcome] = {}
        self._num_tickets = 0

    @property
    def counters(self) -> WorkCounters:
        """The work done so far, without what the materialised model computed again."""
        return self._scheduler.counters

    @property
    def tie_threshold(self) -> float:
        """The gap up to which an answer is computed again by the materialised model; 0 if none."""
        return self._rechecks.threshold

    @property
    def num_tie_rechecks(self) -> int:
        """The number of answers that were computed again so far."""
        return self._rechecks.num_rechecks

    @property
    def recheck_seconds(self) -> float:
        """The seconds that these took."""
        return self._rechecks.recheck_seconds

    @property
    def head_rows(self) -> int:
        """The largest number of rows whose logits are in memory together for now."""
        return self._head_limit.max_rows

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or runs."""
        return not (self._waiting or self._running or self._failed)

    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        """One outcome per request, in the same order.

        Neither the order nor the company of requests changes a verdict.
        """
        assert self.is_idle, "whoever submits requests takes their outcomes from `step`"
        tickets = self.submit(requests)
        outcomes: dict[int, Outcome] = {}
        while len(outcomes) < len(tickets):
            outcomes |= self.step()
        return [outcomes[ticket] for ticket in tickets]

    def submit(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[int]:
        """Let requests join those that wait or run; returns a ticket for each."""
        tickets = list(range(self._num_tickets, self._num_tickets + len(requests)))
        self._num_tickets += len(requests)
        jobs: list[Job] = []
        for ticket, (example, path) in zip(tickets, requests, strict=True):
            try:
                jobs.append(self._job(ticket, example, path))
            except SearchClusterError as error:
                self._failed[ticket] = error
        # An example's jobs stand side by side, so that they run together and share states.
        order = {job.example.example_id: number for number, job in reversed([*enumerate(jobs)])}
        self._waiting.extend(sorted(jobs, key=lambda job: order[job.example.example_id]))
        mark_prefixes([*self._running, *self._waiting])
        return tickets

    @torch.inference_mode()
    def step(self) -> dict[int, Outcome]:
        """Run rows and read logits once; returns the outcomes of the requests that are done.

        If it raises, no request waits or runs any more.
        """
        outcomes, self._failed = self._failed, {}
        try:
            self._running, failed = self._admission.next_round(self._waiting, self._running)
            outcomes |= failed
            if self._running:
                outcomes |= self._answered(self._read(self._running))
        except BaseException:
            self._waiting.clear()
            self._running = []
            self._scheduler.release()
            raise
        if not (self._waiting or self._running):
            self._scheduler.release()
            self._forget_empty_tries()
        return outcomes

    def _answered(self, readings: dict[int, dict[int, RowReading]]) -> dict[int, Outcome]:
        """The outcomes of the running jobs that are answered; the others run on."""
        outcomes: dict[int, Outcome] = {}
        still_running = []
        for job in self._running:
            try:
                answered = job.answer.take(readings[job.index])
            except NonFiniteLogitsError as error:
                # Frames would hold on to the engine and its memory, and to this outcome.
                outcomes[job.index] = error.with_traceback(None)
                continue
            if answered is None:
                still_running.append(job)
            else:
                outcomes[job.index] = self._graded(job, answered)
        self._running = still_running
        return outcomes

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

    def _read(self, jobs: Sequence[Job]) -> dict[int, dict[int, RowReading]]:
        """The logits of all rows that the jobs ask for, read a bounded number at a time."""
        asked = [(job, row, tokens) for job in jobs for row, tokens in job.asked.items()]
        slots = np.concatenate([job.asked_slots for job in jobs])
        readings: dict[int, dict[int, RowReading]] = {job.index: {} for job in jobs}
        first = 0
        while first < len(asked):
            part = asked[first : first + self.head_rows - SPARE_ROWS]
            size = max(MIN_ROWS, len(part) + SPARE_ROWS)
            padded = np.full(size, ZERO_SLOT, dtype=np.int64)
            padded[: len(part)] = slots[first : first + len(part)]
            try:
                found = self._logits(padded, part)
            except torch.OutOfMemoryError:
                if not self._head_limit.halve(self.head_rows):
                    raise
                continue
            self._head_limit.recover()
            for (job, row, _), reading in zip(part, found, strict=True):
                readings[job.index][row] = reading
            first += len(part)
        self.counters.head_rows += len(asked)
        self.counters.bridged_rows = self._layers.num_bridged_rows
        return readings

    def _logits(
        self, slots: Slots, asked: Sequence[tuple[Job, int, list[int]]]
    ) -> list[RowReading]:
        last_layers = [job.path.layers[-1] for job, *_ in asked]
        final_RD = final_rows(self._layers, self.store.hidden, slots, last_layers)
        return read_logits(self._layers.logits(final_RD), [tokens for *_, tokens in asked])

    def _graded(self, job: Job, answered: Answered) -> Outcome:
        if self._on_answered is not None:
            self._on_answered(job, answered)
        try:
            return self._rechecks.verdict(job, answered)
        except Exception as error:  # A grader's failure is this request's, not the batch's.
            return error

    def _forget_empty_tries(self) -> None:
        """Let go of examples of which no state is left."""
        self._known = {key: known for key, known in self._known.items() if known.trie.root.children}
        self._shared = {key: trie for key, trie in self._shared.items() if trie.root.children}
