"""The engine's answers with the scores of all choices, which verdicts do not keep."""

import queue
import threading
from collections.abc import Generator, Sequence
from functools import partial

from search_cluster.model.device_memory import memory_of
from search_cluster.model.engine.answers import Answered
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.jobs import Job
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import limit_threads
from search_cluster.model.scoring import choice_margin
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

Scores = tuple[float, ...]
PATHS_AT_A_TIME = 128
"""Paths that are asked together, after which a worker may stop."""
Block = list[int]
"""Places of questions."""
Scored = tuple[Block, list[list[Scores]]]
"""The scores of the questions of a block, by path."""


class ScoredEngine:
    """An engine of one thread that says what each choice scored.

    Args:
        loaded: the model, which other engines may share.
        task: one whose questions have choices.
        num_workers: engines that share the device.
    """

    def __init__(self, loaded: LoadedModel, task: Task, *, num_workers: int) -> None:
        memory = memory_of(loaded, num_workers=num_workers, shares_weights=True)
        self._scores: dict[tuple[str, LayerPath], Scores] = {}
        self._executor = PathExecutor(
            loaded,
            task,
            max_state_bytes=memory.state_bytes,
            max_call_rows=memory.rows_per_call,
            head_rows=memory.head_rows,
            # No method of this one, which would keep the engine's states when it is gone.
            on_answered=partial(_keep, self._scores),
        )
        self.num_other_verdicts = 0
        """Verdicts that the scores do not give, because the engine computed them again otherwise
        (`search_cluster.model.engine.rechecks`)."""

    def scores(
        self, examples: Sequence[Example], paths: Sequence[LayerPath], stop: threading.Event
    ) -> list[list[Scores]] | None:
        """The scores of all choices, by question and path; empty where a path failed.

        It is ``None`` if it was told to stop before all were there.
        """
        found: dict[tuple[str, LayerPath], Scores] = {}
        in_order = sorted(paths, key=lambda path: path.layers)  # neighbours share prefixes
        for first in range(0, len(in_order), PATHS_AT_A_TIME):
            if stop.is_set():
                return None
            some = in_order[first : first + PATHS_AT_A_TIME]
            pairs = [(example, path) for example in examples for path in some]
            outcomes = self._executor.evaluate(pairs)
            for (example, path), outcome in zip(pairs, outcomes, strict=True):
                found[example.example_id, path] = self._scored(example, path, outcome)
        return [[found[example.example_id, path] for path in paths] for example in examples]

    def _scored(self, example: Example, path: LayerPath, outcome: Outcome) -> Scores:
        scores = self._scores.pop((example.example_id, path), ())
        if not isinstance(outcome, Verdict):
            return ()
        if outcome.margin != choice_margin(list(scores), example):
            self.num_other_verdicts += 1
        return scores


def _keep(scores: dict[tuple[str, LayerPath], Scores], job: Job, answered: Answered) -> None:
    scores[job.example.example_id, job.path] = answered.scores


def scored_blocks(
    engines: Sequence[ScoredEngine],
    blocks: Sequence[Block],
    examples: Sequence[Example],
    paths: Sequence[LayerPath],
) -> Generator[Scored, None, None]:
    """The scores of all blocks, in the order in which they are done.

    The first error of a thread is raised here. Whoever does not take all of them closes it.
    """
    waiting: queue.SimpleQueue[Block] = queue.SimpleQueue()
    for block in blocks:
        waiting.put(block)
    done: queue.SimpleQueue[Scored | Exception] = queue.SimpleQueue()
    stop = threading.Event()

    def work(engine: ScoredEngine) -> None:
        limit_threads(1)  # the setting belongs to the calling thread
        while not stop.is_set():
            try:
                block = waiting.get_nowait()
                scores = engine.scores([examples[place] for place in block], paths, stop)
                if scores is not None:
                    done.put((block, scores))
            except queue.Empty:
                return
            except Exception as error:  # raised where the result is waited for
                done.put(error)
                return

    threads = [threading.Thread(target=work, args=(engine,), name="scores") for engine in engines]
    for thread in threads:
        thread.start()
    try:
        for _ in blocks:
            found = done.get()
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        # A process that ends while a thread computes crashes.
        stop.set()
        for thread in threads:
            thread.join()
