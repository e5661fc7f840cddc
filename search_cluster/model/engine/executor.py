"""The fast engine: verdicts of many (example, path) pairs at once, each equal to the materialised model's.

What two paths or two answers have in common is computed once: path prefixes share states (`path_trie`), continuations
share rows (`rows`), rows of everything that waits for a layer share its call (`path_runner`). Generated answers are
drafted: the gold answer and answers seen for the example before are run along with the prompt, and as long as the
model's greedy choice is among them no token is decoded one by one; greedy output is unchanged.

Batched arithmetic differs from single-row arithmetic in the last bits. Wherever a gap decides (best choice against
second best, most likely token against the next) and is below the tie threshold, the verdict is taken from the
materialised model instead.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from search_cluster.errors import ModelError, NonFiniteLogitsError, SearchClusterError
from search_cluster.model.decoding import decode_greedily, eos_ids
from search_cluster.model.engine.answers import Answer, Answered, ChoiceAnswer, GeneratedAnswer, RowReading
from search_cluster.model.engine.layer_runner import LayerRunner
from search_cluster.model.engine.prefix_trie import ExampleTrie, NodeState, StateStore, TrieNode
from search_cluster.model.engine.scheduler import PathRunner, Wants, WorkCounters
from search_cluster.model.engine.token_tree import RowTree
from search_cluster.model.load.loading import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict, distance_to_step

TIE_THRESHOLDS = {"float32": 5e-4, "bfloat16": 0.5, "float16": 0.06}
"""Nats, or logits, per dtype: four times the largest difference between this engine and the materialised model that
``tests/bench/bench_ties.py`` saw for float32; guesses for the others, which ``deploy/runs/gpu-smoke.sh`` checks."""
MARGIN_NOISE = {"float32": 3e-4}
"""Nats, per dtype: margins that are nearer to a step of `MARGIN_STEP` are taken from the materialised model, so that
coarse margins are the same in every batch; more than twice the largest difference seen. Of the other dtypes' margins
that is not promised: their noise is wider than a step."""
MIN_SHARED_ROWS = 4
"""Fewer rows are not worth being shared between examples."""
HEAD_ROWS = 128
"""Rows whose logits are in memory together (times the vocabulary)."""

Outcome = Verdict | Exception
"""What the engine says of a request; an exception is that request's own, such as `NonFiniteLogitsError`."""


@dataclass(slots=True, frozen=True, eq=False)
class _KnownExample:
    """What is kept of an example between calls."""

    trie: ExampleTrie
    encoded: EncodedExample
    shared: ExampleTrie | None
    """States of the rows with which other examples begin, too."""

    @property
    def num_shared_rows(self) -> int:
        return 0 if self.shared is None else self.shared.rows.num_context


@dataclass(slots=True, eq=False)
class _Job:
    """One request on its way."""

    index: int
    example: Example
    path: LayerPath
    known: _KnownExample
    answer: Answer
    is_prefix: bool = False
    """Whether another path of the example and the batch goes on from where this one ends."""
    nodes: list[TrieNode] = field(default_factory=list)
    """Of its path's prefixes, once it runs."""
    shared_nodes: list[TrieNode] = field(default_factory=list)
    """The same of the shared rows; none if nothing is shared."""
    asked: dict[int, list[int]] = field(default_factory=dict)
    """Rows whose logits are read next, and the tokens whose log-probabilities are."""

    def find_nodes(self) -> None:
        """Look its nodes up, or make them; not before it runs, since evictions take nodes out of the trie."""
        self.nodes = self.known.trie.nodes_of(self.path.layers)
        if self.known.shared is not None:
            self.shared_nodes = self.known.shared.nodes_of(self.path.layers)


class PathExecutor:
    """Evaluates paths of one task on one model. Single-threaded use; states survive between calls.

    Args:
        loaded: a model of a supported family.
        task: how to ask and grade.
        max_state_bytes: what is kept between and within calls, but for what one path needs.
        max_call_rows: rows of one layer call at most.
        tie_threshold: deciding gaps below it are recomputed by the materialised model; ``None``: the dtype's.

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
        self._runner = PathRunner(self._layers, self.store, max_call_rows=max_call_rows)
        self.tie_threshold = TIE_THRESHOLDS[loaded.dtype] if tie_threshold is None else tie_threshold
        self.num_tie_rechecks = 0
        self._known: dict[str, _KnownExample] = {}
        self._shared: dict[tuple[int, ...], ExampleTrie] = {}
        self._keep_keys = task.kind is AnswerKind.GENERATE
        self._ends = eos_ids(loaded.model.generation_config, loaded.tokenizer)

    @property
    def counters(self) -> WorkCounters:
        """Work done so far, canonical rechecks excluded."""
        return self._runner.counters

    @torch.inference_mode()
    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        """One outcome per request, in the same order. The order and the company of requests change no verdict."""
        outcomes: dict[int, Outcome] = {}
        jobs: list[_Job] = []
        for index, (example, path) in enumerate(requests):
            try:
                jobs.append(self._job(index, example, path))
            except SearchClusterError as error:
                outcomes[index] = error
        try:
            self._run(jobs, outcomes)
        finally:
            self._runner.release()
        self._forget_empty_tries()
        return [outcomes[index] for index in range(len(requests))]

    def _job(self, index: int, example: Example, path: LayerPath) -> _Job:
        if path.num_layers != self._layers.num_layers:
            raise ModelError(f"path {path} is for {path.num_layers} layers; the model has {self._layers.num_layers}")
        known = self._known.get(example.example_id)
        if known is None:
            known = self._known[example.example_id] = self._new_example(example)
        answer: Answer
        if self._task.kind is AnswerKind.CHOICE:
            answer = ChoiceAnswer(example, known.encoded, known.trie.rows)
        else:
            answer = GeneratedAnswer(example, self._task, self._loaded.tokenizer, self._ends, known.trie.rows)
        return _Job(index, example, path, known, answer)

    def _new_example(self, example: Example) -> _KnownExample:
        encoded = encode_example(self._loaded, self._task, example)
        template_ids = encoded.context_ids[: min(encoded.num_template_ids, len(encoded.context_ids) - 1)]
        shared = None
        if len(template_ids) >= MIN_SHARED_ROWS:
            shared = self._shared.get(template_ids)
            if shared is None:
                shared = self._shared[template_ids] = ExampleTrie(RowTree(template_ids))
        return _KnownExample(ExampleTrie(RowTree(encoded.context_ids)), encoded, shared)

    def _run(self, jobs: list[_Job], outcomes: dict[int, Outcome]) -> None:
        """Run rows and read logits in rounds until every job has an outcome; new jobs join as there is room."""
        order = {job.example.example_id: position for position, job in reversed(list(enumerate(jobs)))}
        inner = {(job.known.trie, job.path.layers[:end]) for job in jobs for end in range(1, len(job.path))}
        for job in jobs:
            job.is_prefix = (job.known.trie, job.path.layers) in inner
        waiting = deque(sorted(jobs, key=lambda job: order[job.example.example_id]))  # an example's side by side
        running: list[_Job] = []
        while waiting or running:
            running += self._admit(waiting, running)
            self._runner.bring_up_to_date(self._wants(running))
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

    def _admit(self, waiting: deque[_Job], running: list[_Job]) -> list[_Job]:
        """The next jobs to join the running ones, at least one if none run; as many as the state budget has room for.

        A generated answer takes up to a round a token, of a row each. Jobs that generate join in parts that fill about
        a call of each layer, so that the few rows of those that are under way run along with the prompts of later ones.
        """
        sizes: dict[TrieNode, int] = {}
        for job in running:
            sizes.update(self._node_bytes(job))
        num_bytes = sum(sizes.values())
        limit = self.store.max_bytes
        if self._keep_keys:
            part_rows = self._layers.num_layers * self._runner.max_call_rows
            limit = min(limit, num_bytes + part_rows * self._layers.bytes_per_row(keep_keys=True))
        admitted: list[_Job] = []
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

    def _node_bytes(self, job: _Job) -> dict[TrieNode, int]:
        """What the states of a job's nodes take, about."""
        num_rows = job.known.trie.rows.num_context - job.known.num_shared_rows + len(job.answer.wanted_rows())
        own_bytes = num_rows * self._layers.bytes_per_row(keep_keys=self._keep_keys)
        shared_bytes = job.known.num_shared_rows * self._layers.bytes_per_row(keep_keys=True)
        return dict.fromkeys(job.nodes, own_bytes) | dict.fromkeys(job.shared_nodes, shared_bytes)

    def _wants(self, jobs: list[_Job]) -> Wants:
        """Which rows every node on the jobs' paths must hold."""
        wanted: dict[TrieNode, set[int]] = {}
        for job in jobs:
            rows = set(job.answer.wanted_rows())
            if not job.asked:
                rows.update(range(job.known.num_shared_rows, job.known.trie.rows.num_context))
            job.asked = job.answer.read_rows()
            for node in job.nodes if self._keep_keys else _from_last_held(job, rows):
                wanted.setdefault(node, set()).update(rows)
        return Wants(
            rows={node: sorted(rows) for node, rows in wanted.items()},
            finals=_finals(jobs),
            shared={
                node: shared
                for job in jobs
                for node, shared in zip(job.nodes, job.shared_nodes, strict=False)  # none if nothing is shared
            },
            keep_keys=self._keep_keys,
        )

    def _read(self, jobs: list[_Job]) -> dict[int, dict[int, RowReading]]:
        """Logits of all rows that the jobs ask for, a bounded number at a time."""
        asked = [(job, row, tokens) for job in jobs for row, tokens in job.asked.items()]
        readings: dict[int, dict[int, RowReading]] = {job.index: {} for job in jobs}
        for first in range(0, len(asked), HEAD_ROWS):
            part = asked[first : first + HEAD_ROWS]
            hidden_RD = torch.cat([_state_of(job).hidden([row]) for job, row, _ in part])
            logits_RV = self._layers.logits(hidden_RD).float()
            for (job, row, _), reading in zip(
                part, read_logits(logits_RV, [tokens for *_, tokens in part]), strict=True
            ):
                readings[job.index][row] = reading
        self.counters.head_rows += len(asked)
        return readings

    def _graded(self, job: _Job, answered: Answered) -> Outcome:
        """The verdict; the materialised model's where a gap is too small for batched arithmetic."""
        try:
            # Of equals, the materialised model takes the first.
            if answered.gap <= self.tie_threshold or self._is_near_step(answered.margin):
                self.num_tie_rechecks += 1
                if not self._is_confirmed(job, answered):
                    return evaluate_path(self._loaded, self._task, job.example, job.path)
            num_tokens = job.known.trie.rows.num_context + answered.num_tokens
            return Verdict(
                reward=self._task.grade(job.example, answered.output),
                margin=answered.margin,
                output=answered.output,
                num_layer_tokens=len(job.path) * num_tokens,
            )
        except Exception as error:  # a grader's failure is this request's, not the batch's
            return error

    def _is_confirmed(self, job: _Job, answered: Answered) -> bool:
        """Whether the materialised model generates the same up to the last token whose gap is too small.

        From there on the gaps decide, as they do in an answer without such a token.
        """
        tied = [number for number, (_, gap) in enumerate(answered.generated, start=1) if gap <= self.tie_threshold]
        if not tied:  # choices are scored again as a whole
            return False
        tokens = decode_greedily(
            materialise(self._loaded.model, job.path),
            self._loaded.tokenizer,
            job.known.encoded.context_ids,
            max_new_tokens=tied[-1],
        )
        return tokens == tuple(token for token, _ in answered.generated[: tied[-1]])

    def _is_near_step(self, margin: float | None) -> bool:
        return margin is not None and distance_to_step(margin) <= MARGIN_NOISE.get(self._loaded.dtype, -1.0)

    def _forget_empty_tries(self) -> None:
        """Let go of examples of which no state is left."""
        self._known = {key: known for key, known in self._known.items() if known.trie.root.children}
        self._shared = {key: trie for key, trie in self._shared.items() if trie.root.children}


def _finals(jobs: list[_Job]) -> dict[TrieNode, list[int]]:
    """The ends of paths that no other path goes through, with the rows that are read there."""
    finals: dict[TrieNode, set[int]] = {}
    for job in jobs:
        if not job.is_prefix:
            finals.setdefault(job.nodes[-1], set()).update(job.asked)
    return {node: sorted(rows) for node, rows in finals.items()}


def _from_last_held(job: _Job, rows: set[int]) -> list[TrieNode]:
    """The nodes from the deepest one that holds all that is needed of it (so that it stays) to the path's end."""
    needed: Iterable[int] = job.asked
    for depth in range(len(job.nodes) - 1, -1, -1):
        state = job.nodes[depth].state
        if state is not None and all(state.has(row) for row in needed):
            return job.nodes[depth:]
        needed = rows
    return job.nodes


def _state_of(job: _Job) -> NodeState:
    state = job.nodes[-1].state
    assert state is not None, "a job's last node was wanted"
    return state


def read_logits(logits_RV: Tensor, asked: Sequence[Sequence[int]]) -> list[RowReading]:
    """What `RowReading` says, for rows of float32 logits.

    Args:
        logits_RV: logits.
        asked: per row the tokens whose log-probabilities are wanted; none: the most likely token is.
    """
    finite = torch.isfinite(logits_RV.sum(dim=-1)).tolist()  # a sum is finite only if all its terms are
    if any(asked):
        rows = [row for row, tokens in enumerate(asked) for _ in tokens]
        tokens = [token for row_tokens in asked for token in row_tokens]
        log_probs = (logits_RV[rows, tokens] - logits_RV.logsumexp(dim=-1)[rows]).tolist()
        found: list[dict[int, float]] = [{} for _ in asked]
        for row, token, log_prob in zip(rows, tokens, log_probs, strict=True):
            found[row][token] = log_prob
        return [RowReading(finite=ok, log_probs=values) for ok, values in zip(finite, found, strict=True)]
    top = logits_RV.topk(2, dim=-1)
    best, gaps = top.indices[:, 0].tolist(), (top.values[:, 0] - top.values[:, 1]).tolist()
    return [RowReading(finite=ok, best_token=token, gap=gap) for ok, token, gap in zip(finite, best, gaps, strict=True)]
