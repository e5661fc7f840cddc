"""``search-cluster verify``: a corpus' verdicts against the materialised model, one at a time."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from search_cluster.corpus.manifest import require_same_model
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.record import PathVerdict
from search_cluster.corpus.task import task_of_corpus
from search_cluster.errors import CorpusError, SearchClusterError
from search_cluster.faults import failed_evaluation
from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

MARGIN_TOLERANCE = 1e-3
"""Margins carry arithmetic noise up to this, in nats."""
MAX_SHOWN = 20


def verify_corpus(
    run: Path,
    *,
    sample: int,
    seed: int,
    model: str | None,
    task: str | None,
    device: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Re-execute sampled verdicts of a finished corpus with the materialised model, batch size 1.

    Args:
        run: the corpus' folder.
        sample: verdicts at most, drawn evenly over all evaluated (example, path) pairs.
        seed: the seed of the sample.
        model: where the model is now; ``None``: where the corpus says it was.
        task: the task's file, if its name alone does not find it.
        device: the device to run on.
        revision: branch, tag or commit of a hub id.
        trust_remote_code: run Python code that the model brings along.

    Raises:
        ConfigError: the model or the task is not the one that the corpus was searched with.
        CorpusError: the search is unfinished, its folder is damaged, or it holds no verdict.
        EvaluatorError: code that is not ours failed, such as the task's grader.
    """
    corpus = read_corpus(run)
    provenance = corpus.manifest.provenance
    grader = task_of_corpus(provenance, task)
    pairs = _sampled(corpus, sample, seed)
    if not pairs:
        raise CorpusError(
            f"{run} holds no verdict to verify: not one path could be evaluated; its report says "
            "why"
        )
    loaded = load_model(
        model or provenance.model_spec,
        dtype=provenance.dtype,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        chat=provenance.chat or "auto",
    )
    require_same_model(provenance, loaded.spec, loaded.identity)
    flips: list[dict[str, Any]] = []
    worst = 0.0
    for example, item in track(pairs, "verifying", console=Console(stderr=True)):
        try:
            reference: Verdict | None = evaluate_path(loaded, grader, example, item.path)
        except SearchClusterError:
            reference = None
        except Exception as error:  # a grader's, for example, of a task of the user's
            raise failed_evaluation(example.example_id, str(item.path), error) from error
        if reference is None or replace(reference, margin=None) != replace(
            item.verdict, margin=None
        ):
            flips.append(_flip(example, item, reference))
        elif reference.margin is not None and item.verdict.margin is not None:
            worst = max(worst, abs(reference.margin - item.verdict.margin))
    return {
        "run": str(run),
        "corpus_digest": corpus.manifest.corpus_digest,
        "verdicts": len(pairs),
        "agreements": len(pairs) - len(flips),
        "agreement": (len(pairs) - len(flips)) / len(pairs),
        "verdict_flips": len(flips),
        "max_margin_difference": worst,
        "margins_agree": worst <= MARGIN_TOLERANCE,
        "flips": flips[:MAX_SHOWN],
    }


def _sampled(corpus: Corpus, sample: int, seed: int) -> list[tuple[Example, PathVerdict]]:
    pairs = [(record.example, item) for record in corpus.records for item in record.evaluated]
    return random.Random(seed).sample(pairs, min(sample, len(pairs)))


def _flip(example: Example, item: PathVerdict, reference: Verdict | None) -> dict[str, Any]:
    return {
        "example_id": example.example_id,
        "path": str(item.path),
        "corpus": [item.verdict.reward, item.verdict.output],
        "materialised": None if reference is None else [reference.reward, reference.output],
    }
