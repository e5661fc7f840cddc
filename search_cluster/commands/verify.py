"""``search-cluster verify``: the verdicts of a search or a scan computed again, one at a time."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_cluster.bridged_spec import spec_again
from search_cluster.commands.verdict_source import KnownVerdict, verdict_source
from search_cluster.console import track
from search_cluster.errors import CorpusError, SearchClusterError
from search_cluster.faults import failed_evaluation
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
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

Evaluate = Callable[[Task, Example, LayerPath], Verdict]
"""Gives the verdict of a pair, computed anew, or raises what makes it impossible."""


def verify_run(
    run: Path,
    *,
    sample: int,
    seed: int,
    model: str | None,
    task: str | None,
    device: str,
    devices_per_worker: int = 1,
    data_dir: Path | None = None,
    revision: str | None = None,
    bridges: Path | None = None,
    trust_remote_code: bool = False,
    reference: str = MATERIALISED,
) -> dict[str, Any]:
    """Re-execute sampled verdicts of a finished search or scan, each alone.

    Against the engine every verdict must be the same, its margin to the bit, unless the run was
    searched with rechecks, which hide that batches round differently. The materialised model rounds
    otherwise than the engine does: where both are right about a tie, they may decide it unlike. In
    float32 any other flip counts as a fault; in 16 bits the agreement is a measurement.

    Args:
        run: the run's folder.
        sample: verdicts at most, drawn evenly over all evaluated (example, path) pairs.
        seed: the seed of the sample.
        model: where the model is now; ``None``: where the run says it was.
        task: the task's file, if its name alone does not find it.
        device: the device to run on.
        devices_per_worker: the GPUs that share the model's layers, beginning with ``device``.
        data_dir: where the task's data is; a corpus holds its questions, a scan does not.
        revision: branch, tag or commit of a hub id.
        bridges: where the model's bridges are now; ``None``: where the run says they were.
        trust_remote_code: run Python code that the model brings along.
        reference: `MATERIALISED`, the transformers model without the engine, or `ENGINE`, an engine
            that has seen no other request.

    Raises:
        ConfigError: the model or the task is not the one that the run was made with, or the engine
            is asked on a machine that rounds otherwise.
        CorpusError: the run is unfinished, its folder is damaged, or it holds no verdict.
        EvaluatorError: code that is not ours failed, such as the task's grader.
    """
    source = verdict_source(run, task, data_dir)
    known = source.verdicts
    pairs = random.Random(seed).sample(known, min(sample, len(known)))
    if not pairs:
        raise CorpusError(
            f"{run} holds no verdict to verify: not one path could be evaluated; its report says "
            "why"
        )
    asked = source.model
    loaded = load_model(
        spec_again(asked.spec, model, bridges),
        dtype=asked.dtype,
        device=device,
        devices_per_worker=devices_per_worker,
        revision=revision,
        trust_remote_code=trust_remote_code,
        chat=asked.chat,
    )
    source.require_model(loaded)
    tie_threshold = source.tie_threshold(loaded) if reference == ENGINE else None
    evaluate = _reference(reference, loaded, tie_threshold)
    flips: list[dict[str, Any]] = []
    num_ties, worst = 0, 0.0
    for item in track(pairs, "verdicts run again"):
        try:
            again: Verdict | None = evaluate(item.task, item.example, item.path)
        except SearchClusterError:
            again = None
        except Exception as error:  # a grader's, for example, of a task of the user's
            raise failed_evaluation(item.example.example_id, str(item.path), error) from error
        if again is None or replace(again, margin=None) != replace(item.verdict, margin=None):
            is_tie = reference == MATERIALISED and _is_tie(loaded, item, again)
            num_ties += is_tie
            flips += [] if is_tie else [_flip(item, again, reference)]
        elif again.margin is not None and item.verdict.margin is not None:
            worst = max(worst, abs(again.margin - item.verdict.margin))
    is_exact = reference == ENGINE and tie_threshold is None
    is_measurement = not is_exact and loaded.dtype != "float32"
    margins_agree = worst <= (0.0 if is_exact else MARGIN_TOLERANCE)
    return {
        "run": str(run),
        "corpus_digest": source.digest,
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


def _reference(name: str, loaded: LoadedModel, tie_threshold: float | None) -> Evaluate:
    if name == MATERIALISED:
        return lambda task, example, path: evaluate_path(loaded, task, example, path)

    def evaluate(task: Task, example: Example, path: LayerPath) -> Verdict:
        outcome = evaluate_alone(loaded, task, example, path, tie_threshold=tie_threshold)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return evaluate


def _is_tie(loaded: LoadedModel, item: KnownVerdict, again: Verdict | None) -> bool:
    """Whether the engine says what the run does, but would have it computed again for a gap."""
    own = evaluate_alone(loaded, item.task, item.example, item.path)
    rechecked = evaluate_alone(
        loaded,
        item.task,
        item.example,
        item.path,
        tie_threshold=TIE_THRESHOLDS[loaded.dtype],
    )
    return own == item.verdict and rechecked == again


def _flip(item: KnownVerdict, again: Verdict | None, reference: str) -> dict[str, Any]:
    return {
        "example_id": item.example.example_id,
        "path": str(item.path),
        "corpus": [item.verdict.reward, item.verdict.output],
        reference: None if again is None else [again.reward, again.output],
    }
