"""``search-cluster verify``: a corpus' verdicts computed again, one at a time."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from search_cluster.bridged_spec import spec_again
from search_cluster.commands.provenance import tie_threshold_of_run
from search_cluster.corpus.manifest import Provenance, require_same_model
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.record import PathVerdict
from search_cluster.corpus.task import task_of_corpus
from search_cluster.errors import ConfigError, CorpusError, SearchClusterError
from search_cluster.faults import failed_evaluation
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
from search_cluster.model.kernels import kernels_of
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import ENGINE, MATERIALISED

MARGIN_TOLERANCE = 1e-3
"""How far float32 margins of the engine and of the materialised model may be apart, in nats."""
MAX_SHOWN = 20

Evaluate = Callable[[Example, LayerPath], Verdict]
"""Gives the verdict of a pair, computed anew, or raises what makes it impossible."""


def verify_corpus(
    run: Path,
    *,
    sample: int,
    seed: int,
    model: str | None,
    task: str | None,
    device: str,
    revision: str | None = None,
    bridges: Path | None = None,
    trust_remote_code: bool = False,
    reference: str = MATERIALISED,
) -> dict[str, Any]:
    """Re-execute sampled verdicts of a finished corpus, each alone.

    Against the engine every verdict must be the same, its margin to the bit, unless the corpus was
    searched with rechecks, which hide that batches round differently. The materialised model rounds
    otherwise than the engine does: where both are right about a tie, they may decide it unlike. In
    float32 any other flip counts as a fault; in 16 bits the agreement is a measurement.

    Args:
        run: the corpus' folder.
        sample: verdicts at most, drawn evenly over all evaluated (example, path) pairs.
        seed: the seed of the sample.
        model: where the model is now; ``None``: where the corpus says it was.
        task: the task's file, if its name alone does not find it.
        device: the device to run on.
        revision: branch, tag or commit of a hub id.
        bridges: where the model's bridges are now; ``None``: where the corpus says they were.
        trust_remote_code: run Python code that the model brings along.
        reference: `MATERIALISED`, the transformers model without the engine, or `ENGINE`, an engine
            that has seen no other request.

    Raises:
        ConfigError: the model or the task is not the one that the corpus was searched with, or the
            engine is asked on a machine that rounds otherwise.
        CorpusError: the search is unfinished, its folder is damaged, or it holds no verdict.
        EvaluatorError: code that is not ours failed, such as the task's grader.
    """
    corpus = read_corpus(run)
    provenance = corpus.manifest.provenance
    grader = task_of_corpus(provenance, task, run)
    pairs = _sampled(corpus, sample, seed)
    if not pairs:
        raise CorpusError(
            f"{run} holds no verdict to verify: not one path could be evaluated; its report says "
            "why"
        )
    loaded = load_model(
        spec_again(provenance.model_spec, model, bridges),
        dtype=provenance.dtype,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        chat=provenance.chat or "auto",
    )
    require_same_model(provenance, loaded.spec, loaded.identity)
    evaluate = _reference(reference, loaded, grader, provenance)
    flips: list[dict[str, Any]] = []
    num_ties, worst = 0, 0.0
    for example, item in track(pairs, "verifying", console=Console(stderr=True)):
        try:
            again: Verdict | None = evaluate(example, item.path)
        except SearchClusterError:
            again = None
        except Exception as error:  # a grader's, for example, of a task of the user's
            raise failed_evaluation(example.example_id, str(item.path), error) from error
        if again is None or replace(again, margin=None) != replace(item.verdict, margin=None):
            is_tie = reference == MATERIALISED and _is_tie(loaded, grader, example, item, again)
            num_ties += is_tie
            flips += [] if is_tie else [_flip(example, item, again, reference)]
        elif again.margin is not None and item.verdict.margin is not None:
            worst = max(worst, abs(again.margin - item.verdict.margin))
    is_exact = reference == ENGINE and provenance.tie_threshold == 0.0
    is_measurement = not is_exact and loaded.dtype != "float32"
    margins_agree = worst <= (0.0 if is_exact else MARGIN_TOLERANCE)
    return {
        "run": str(run),
        "corpus_digest": corpus.manifest.corpus_digest,
        "reference": reference,
        "dtype": loaded.dtype,
        "verdicts": len(pairs),
        "agreements": len(pairs) - len(flips) - num_ties,
        "agreement": (len(pairs) - len(flips) - num_ties) / len(pairs),
        "ties": num_ties,
        "verdict_flips": len(flips),
        "max_margin_difference": worst,
        "margins_agree": None if is_measurement else margins_agree,
        "ok": is_measurement or not (flips or (is_exact and not margins_agree)),
        "flips": flips[:MAX_SHOWN],
    }


def _sampled(corpus: Corpus, sample: int, seed: int) -> list[tuple[Example, PathVerdict]]:
    pairs = [(record.example, item) for record in corpus.records for item in record.evaluated]
    return random.Random(seed).sample(pairs, min(sample, len(pairs)))


def _reference(name: str, loaded: LoadedModel, task: Task, provenance: Provenance) -> Evaluate:
    if name == MATERIALISED:
        return lambda example, path: evaluate_path(loaded, task, example, path)
    here = kernels_of(loaded.device, loaded.dtype)
    tie_threshold = tie_threshold_of_run(provenance)
    if here != provenance.arithmetic:
        raise ConfigError(
            f"the corpus was searched with {provenance.arithmetic}, this machine has {here}, which "
            "rounds differently: verify it on such a machine, or with --reference materialised"
        )

    def evaluate(example: Example, path: LayerPath) -> Verdict:
        outcome = evaluate_alone(loaded, task, example, path, tie_threshold=tie_threshold)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return evaluate


def _is_tie(
    loaded: LoadedModel, task: Task, example: Example, item: PathVerdict, again: Verdict | None
) -> bool:
    """Whether the engine says what the corpus does, but would have it computed again for a gap."""
    own = evaluate_alone(loaded, task, example, item.path)
    rechecked = evaluate_alone(
        loaded, task, example, item.path, tie_threshold=TIE_THRESHOLDS[loaded.dtype]
    )
    return own == item.verdict and rechecked == again


def _flip(
    example: Example, item: PathVerdict, again: Verdict | None, reference: str
) -> dict[str, Any]:
    return {
        "example_id": example.example_id,
        "path": str(item.path),
        "corpus": [item.verdict.reward, item.verdict.output],
        reference: None if again is None else [again.reward, again.output],
    }
