"""The fast engine: verdicts of many (example, path) pairs at once, each equal to the materialised model's.

What two paths or two answers have in common is computed once: path prefixes share states (`path_trie`), continuations
share rows (`rows`), rows of everything that waits for a layer share its call (`path_runner`). Generated answers are
drafted: the gold answer and answers seen for the example before are run along with the prompt, and as long as the
model's greedy choice is among them no token is decoded one by one; greedy output is unchanged.

Batched arithmetic differs from single-row arithmetic in the last bits. Wherever a gap decides (best choice against
second best, most likely token against the next) and is below the tie threshold, the verdict is taken from the
materialised model instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from search_cluster.errors import ModelError, SearchClusterError
from search_cluster.model.answers import Answer, ChoiceAnswer, GeneratedAnswer, RowReading
from search_cluster.model.decoding import eos_ids
from search_cluster.model.layer_runner import LayerRunner
from search_cluster.model.loading import LoadedModel
from search_cluster.model.path_runner import PathRunner, WorkCounters
from search_cluster.model.path_trie import ExampleTrie, StateStore, TrieNode
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.model.rows import RowTree
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict

TIE_THRESHOLDS = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.06}
"""Nats, or logits, per dtype: many times the largest difference seen between this engine and the materialised model."""
HEAD_ROWS = 256
"""Rows whose logits are in memory together (times the vocabulary)."""

Outcome = Verdict | Exception
"""What the engine says of a request; an exception is that request's own, such as `NonFiniteLogitsError`."""


@dataclass(slots=True, eq=False)
class _Job:
    """One request on its way."""

    index: int
    example: Example
    path: LayerPath
    trie: ExampleTrie
    nodes: list[TrieNode]
    answer: Answer
    wanted: list[int] = field(default_factory=list)
    """Rows that the path must run next, ancestors first."""
    readings: list[int] = field(default_factory=list)
    """Rows among them whose logits are asked for."""


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
        max_call_rows: int = 2048,
        tie_threshold: float | None = None,
    ) -> None:
        self._loaded = loaded
        self._task = task
        self.store = StateStore(max_state_bytes)
        self._layers = LayerRunner(loaded.model)
        self._runner = PathRunner(self._layers, self.store, max_call_rows=max_call_rows)
        self.tie_threshold = TIE_THRESHOLDS[loaded.dtype] if tie_threshold is None else tie_threshold
        self.num_tie_rechecks = 0
        self._tries: dict[str, tuple[ExampleTrie, EncodedExample]] = {}
        self._ends = eos_ids(loaded.model.generation_config, loaded.tokenizer)

    @property
    def counters(self) -> WorkCounters:
        """Work done so far, canonical rechecks excluded."""
        return self._runner.counters

    @torch.inference_mode()
    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        """One outcome per request, in the same order. The order and the company of requests change no verdict."""
        outcomes: list[Outcome | None] = [None] * len(requests)
        jobs: list[_Job] = []
        for index, (example, path) in enumerate(requests):
            try:
                jobs.append(self._job(index, example, path))
            except SearchClusterError as error:
                outcomes[index] = error
        for chunk in self._chunks(jobs):
            self._run_chunk(chunk, outcomes)
        self._forget_empty_tries()
        return [outcome if outcome is not None else ModelError("no outcome") for outcome in outcomes]

    def _job(self, index: int, example: Example, path: LayerPath) -> _Job:
        if path.num_layers != self._layers.num_layers:
            raise ModelError(f"path {path} is for {path.num_layers} layers; the model has {self._layers.num_layers}")
        known = self._tries.get(example.example_id)
        if known is None:
            encoded = encode_example(self._loaded, self._task, example)
            known = self._tries[example.example_id] = (ExampleTrie(RowTree(encoded.context_ids)), encoded)
        trie, encoded = known
        answer: Answer
        if self._task.kind is AnswerKind.CHOICE:
            answer = ChoiceAnswer(example, encoded, trie.rows)
        else:
            answer = GeneratedAnswer(example, self._task, self._loaded.tokenizer, self._ends, trie.rows)
        return _Job(index, example, path, trie, trie.nodes_of(path.layers), answer)
