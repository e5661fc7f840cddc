"""The engine's answers with the scores of all choices, which verdicts do not keep."""

import queue
import threading
from collections.abc import Iterator, Sequence

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
            on_answered=self._keep,
        )
        self.num_other_verdicts = 0
        """Verdicts that the scores do not give, because the engine computed them again otherwise
        (`search_cluster.model.engine.rechecks`)."""

    def _keep(self, job: Job, answered: Answered) -> None:
        self._scores[job.example.example_id, job.path] = answered.scores

    def scores(
        self, examples: Sequence[Example], paths: Sequence[LayerPath], stop: threading.Event
    ) -> list[list[Scores]] | None:
        """The scores of all choices, by question and path; empty where a path failed.

        It is ``None`` if it was told to stop before all were there.
        """
        pairs = [(example, path) for example in examples for path in paths]
        tickets = self._executor.submit(pairs)
        outcomes: dict[int, Outcome] = {}
        while len(outcomes) < len(tickets):
            if stop.is_set():
                return None
            outcomes |= self._executor.step()
        found: list[Scores] = []
        for ticket, (example, path) in zip(tickets, pairs, strict=True):
            outcome, scores = outcomes[ticket], self._scores.pop((example.example_id, path), ())
            if not isinstance(outcome, Verdict):
                scores = ()
            elif outcome.margin != choice_margin(list(scores), example):
                self.num_other_verdicts += 1
            found.append(scores)
        size = len(paths)
        return [found[first : first + size] for first in range(0, len(found), size)]


def scored_blocks(
    engines: Sequence[ScoredEngine],
    blocks: Sequence[Block],
    examples: Sequence[Example],
    paths: Sequence[LayerPath],
) -> Iterator[Scored]:
    """The scores of all blocks, in the order in which they are done.

    The first error of a thread is raised here.
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

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    try:
        for _ in blocks:
            found = done.get()
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        # A process that ends while a thread computes crashes. A step takes a second or two.
        stop.set()
        for thread in threads:
            thread.join()
