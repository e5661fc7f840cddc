"""What is searched, and how: all that a coordinator needs beside examples and an evaluator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.keys import VerdictContext
from search_cluster.corpus.encoded_shard import ShardSettings
from search_cluster.corpus.record import PathVerdict
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.questions import Questions
from search_cluster.search.search_plan import Perturb, Studied
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tree.settings import SearchPreset

Known = Mapping[str, Sequence[PathVerdict]]
"""Verdicts of earlier invocations, by the ids of the examples that they wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob:
    """What is searched, and how: all but the examples and the workers. Travels to coordinators."""

    task: str
    """Name, or absolute path of a task file."""
    pool: tuple[Example, ...]
    """All questions of the split; perturbations draw from them."""
    num_layers: int
    preset: SearchPreset
    seed: int
    context: VerdictContext
    redis_url: str = field(repr=False)
    """It may hold a password."""
    run_dir: Path
    shards: ShardSettings
    """Of the corpus, for coordinators that make shards."""
    studied: Studied | None = None

    def perturb(self) -> Perturb:
        """Gives perturbations of this task's questions."""
        return Questions(get_task(self.task), self.pool, (), seed=self.seed).perturb


def make_coordinator(
    job: SearchJob, evaluator: PathEvaluator, examples: Sequence[Example], probes: Sequence[Example]
) -> Coordinator:
    """The coordinator of a job's examples; it makes a study first unless the job has one."""
    return Coordinator(
        evaluator,
        examples,
        num_layers=job.num_layers,
        preset=job.preset,
        seed=job.seed,
        probes=probes,
        perturb=job.perturb(),
        studied=job.studied,
    )


def preload(evaluator: CachedEvaluator, known: Known) -> None:
    """Let an evaluator know what need not be looked up."""
    evaluator.preload(
        (key, item.path, item.verdict) for key, items in known.items() for item in items
    )
