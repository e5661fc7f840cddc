"""What ``search --json`` reports beside the counters."""

from typing import Any

from search_cluster.config import SearchConfig
from search_cluster.corpus.manifest import Manifest
from search_cluster.corpus.summary import CorpusSummary
from search_cluster.tasks.task import Task


def found_figures(summary: CorpusSummary) -> dict[str, Any]:
    """What was found, as the manifest keeps it."""
    return {
        "examples": summary.examples,
        "identity_accuracy": summary.identity_accuracy,
        "found_accuracy": summary.found_accuracy,
        "mean_layers_saved": summary.mean_layers_saved,
        "mean_best_length": summary.mean_best_length,
        "improved_examples": summary.improved,
        "chance": summary.chance,
    }


def search_result(
    config: SearchConfig, task: Task, manifest: Manifest, summary: dict[str, Any]
) -> dict[str, Any]:
    """What was asked for, then what ``summary`` says, then the digest."""
    return {
        "task": task.name,
        "split": config.split,
        "preset": manifest.provenance.preset,
        "budget": manifest.provenance.budget,
        "seed": config.seed,
        "model": config.model_spec,
        "num_layers": manifest.provenance.num_layers,
        "run": str(config.run),
        **summary,
        "corpus_digest": manifest.corpus_digest,
    }
