"""How far the engine is from the materialised model, and whether a verdict ever flips.

``python tests/bench/bench_ties.py TASK FOLDER --num-verdicts 2000`` evaluates questions on the
paths of a real search, once with the materialised model (slow: kept in ``FOLDER/TASK.jsonl``, so
that an interrupted run goes on) and twice with the engine in batches of 1 to 512: without rechecks,
which shows the largest noise of a deciding gap and the flips it makes, and as users get it, which
must flip nothing. Prints JSON.
"""

import argparse
import fcntl
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from search_cluster.bench.config import EngineBenchConfig
from search_cluster.bench.engine import searched_paths
from search_cluster.model.engine.answers import Answered
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.scoring import evaluate_with
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

NUM_EXAMPLES = 40
NUM_PATHS = 60

Pair = tuple[Example, LayerPath]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the materialised model says, one pair at a time."""

    reward: float
    margin: float | None
    output: str
    num_layer_tokens: int
    gap: float | None
    """The smallest gap between the most likely token and the next, of generated answers."""


class GapRecorder:
    """A causal LM that remembers the smallest gap between its two best tokens."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.config, self.generation_config, self.device = (
            model.config,
            model.generation_config,
            model.device,
        )
        self.gap = float("inf")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the model."""
        output = self._model(*args, **kwargs)
        best, second = output.logits[0, -1].float().topk(2).values.tolist()
        self.gap = min(self.gap, best - second)
        return output


class GapKeeper(PathExecutor):
    """The engine, with the smallest deciding gap of each request."""

    def evaluate_with_gaps(self, pairs: Sequence[Pair]) -> tuple[list[Outcome], list[float]]:
        """Outcomes and gaps, in the order of the pairs."""
        self._gaps: dict[int, float] = {}
        outcomes = self.evaluate(pairs)
        return outcomes, [self._gaps[index] for index in range(len(pairs))]

    def _graded(self, job: Any, answered: Answered) -> Outcome:
        self._gaps[job.index] = answered.gap
        return super()._graded(job, answered)


def referred(loaded: LoadedModel, task: Task, example: Example, path: LayerPath) -> Reference:
    """The materialised model's verdict."""
    recorder = GapRecorder(materialise(loaded.model, path))
    verdict = evaluate_with(recorder, loaded, task, example, num_layers_run=len(path))  # type: ignore[arg-type]
    return Reference(
        reward=verdict.reward,
        margin=verdict.margin,
        output=verdict.output,
        num_layer_tokens=verdict.num_layer_tokens,
        gap=recorder.gap if task.max_new_tokens else None,
    )


def references(
    loaded: LoadedModel, task: Task, pairs: Sequence[Pair], file: Path
) -> Iterator[Reference]:
    """References of the pairs, those of an earlier run first."""
    with file.open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # lines of two runs would be out of order
        stream.seek(0)
        done = [Reference(**json.loads(line)) for line in stream]
        yield from done[: len(pairs)]
        for example, path in pairs[len(done) :]:
            reference = referred(loaded, task, example, path)
            stream.write(json.dumps(asdict(reference)) + "\n")
            stream.flush()
            yield reference


def in_mixed_batches(
    executor: GapKeeper, pairs: Sequence[Pair]
) -> tuple[list[Outcome], list[float]]:
    """Outcomes and gaps of all pairs, in batches of 1 to 512."""
    rng = random.Random(0)
    outcomes: list[Outcome] = []
    gaps: list[float] = []
    while len(outcomes) < len(pairs):
        first, size = len(outcomes), round(2 ** rng.uniform(0, 9))
        some, some_gaps = executor.evaluate_with_gaps(pairs[first : first + size])
        outcomes += some
        gaps += some_gaps
    return outcomes, gaps


def flips(outcomes: Sequence[Outcome], known: Sequence[Reference]) -> list[int]:
    """Where the engine says something else than the materialised model."""
    return [
        index
        for index, (outcome, reference) in enumerate(zip(outcomes, known, strict=True))
        if not isinstance(outcome, Verdict)
        or (outcome.reward, outcome.output, outcome.num_layer_tokens)
        != (reference.reward, reference.output, reference.num_layer_tokens)
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num-verdicts", type=int, default=2000)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    task, loaded = get_task(args.task), load_model("demo")
    data_dir = os.environ.get("LPS_DATA_DIR")
    examples = select_examples(
        task.load("test", Path(data_dir) if data_dir else None).examples, NUM_EXAMPLES, 0
    )
    config = EngineBenchConfig(
        model="demo", task=args.task, data_dir=None, num_examples=NUM_EXAMPLES, num_paths=NUM_PATHS,
        num_verdicts=0, sample=0, batch=0, state_bytes=2**30, seed=0, device="auto", dtype="auto",
    )  # fmt: skip
    paths = searched_paths(loaded, task, examples[0], config)
    pairs = [(example, path) for example in examples for path in paths]
    random.Random(0).shuffle(pairs)
    pairs = pairs[: args.num_verdicts]
    known = list(references(loaded, task, pairs, args.folder / f"{args.task}.jsonl"))
    with torch.inference_mode():
        bare = GapKeeper(loaded, task, tie_threshold=-1.0)
        outcomes, gaps = in_mixed_batches(bare, pairs)
        guarded = GapKeeper(loaded, task)
        guarded_outcomes, _ = in_mixed_batches(guarded, pairs)
    bare_flips = flips(outcomes, known)
    margin_noise = [
        abs(outcome.margin - reference.margin)
        for outcome, reference in zip(outcomes, known, strict=True)
        if isinstance(outcome, Verdict)
        and outcome.margin is not None
        and reference.margin is not None
    ]
    gap_noise = [
        abs(gap - reference.gap)
        for index, (gap, reference) in enumerate(zip(gaps, known, strict=True))
        if reference.gap is not None and index not in bare_flips
    ]
    print(
        json.dumps(
            {
                "task": args.task,
                "verdicts": len(pairs),
                "verdict_flips": len(flips(guarded_outcomes, known)),
                "tie_rechecks": guarded.num_tie_rechecks,
                "tie_threshold": guarded.tie_threshold,
                "flips_without_rechecks": len(bare_flips),
                "largest_flipped_gap": max((gaps[index] for index in bare_flips), default=None),
                "max_margin_difference": max(margin_noise, default=None),
                "max_gap_difference": max(gap_noise, default=None),
                "gaps_below": {
                    str(limit): sum(gap <= limit for gap in gaps)
                    for limit in (1e-4, 2e-4, 5e-4, 1e-3)
                },
            }
        )
    )


if __name__ == "__main__":
    main()
