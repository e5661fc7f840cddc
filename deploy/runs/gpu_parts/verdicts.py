"""Part D: is a verdict the same in any company, and how near is it to the materialised model's?

The reference is the same request alone, in an engine that knows nothing else. Random weights of the
3B shape answer the first question at the widths that matter. The second one needs gaps like those
of a trained model, so it is asked of the demo model, or of the model that is named.
"""

import itertools
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gpu_parts.device import is_cuda
from gpu_parts.engine import GapKeeper, Pair, essence, facts_of, judge_answered
from gpu_parts.samples import Sample, random_samples, real_samples
from gpu_parts.scale import Scale
from gpu_parts.sheet import Figure, Sheet
from search_cluster.errors import SearchClusterError
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.executor import Outcome
from search_cluster.model.kernels import kernels_of
from search_cluster.model.scoring import evaluate_path
from search_cluster.tasks.verdict import Verdict

DTYPES = ("bfloat16", "float32")
MAX_BATCH = 128
STATE_BYTES = 2**31
KEPT_S = 10.0
"""The seconds that no sample gets: what has begun when time is up goes on to its end."""
BATCHES_SHARE = 0.3
"""The share of what is left of a sample's time for what is computed in company."""
THRESHOLDS = (0.03, 0.06, 0.125, 0.25, 0.5)
LEAST_VERDICTS = 8
"""With fewer, of a sample that has more, nothing is said of company: the first one has none."""
MAX_RECHECK_SHARE = 0.1
ALONE = "a verdict is the same alone and in any company"
BITS = "so is its margin, to the bit"
RECHECKS = f"at most {MAX_RECHECK_SHARE:.0%} of the verdicts are computed again"


def check(sheet: Sheet, scale: Scale, device: str, model: str = "demo") -> None:
    """Fill in the sheet of part D.

    Args:
        sheet: takes what is found.
        scale: how much is looked at.
        device: where.
        model: the one with real weights, as `load_model` takes it, or `gpu_parts.samples.NO_MODEL`.
    """
    sheet.put("kernels", kernels_of(device, DTYPES[0]))
    found: dict[str, dict[str, Any]] = {}
    outcomes: list[Outcome] = []
    samples = [(dtype, build) for dtype in DTYPES for build in (real_samples, random_samples)]
    for number, (dtype, build) in enumerate(samples):
        share_s = (sheet.left_s - KEPT_S) / (len(samples) - number)
        end_s = time.monotonic() + share_s
        made = list(build(sheet, scale, device, dtype, model))
        for index, sample in enumerate(made):
            left_s = (end_s - time.monotonic()) / (len(made) - index)
            figures, alone = _compared(sample, left_s, has_real_weights=build is real_samples)
            sheet.put(sample.name, figures)
            found[sample.name] = figures
            outcomes += alone
    if not is_cuda(device):
        sheet.lack("changed_by_reduced_precision_sums", "the switch is one of CUDA's")
    sheet.lack(
        "flips_with_16_bit_logits", "logits are float32 in every dtype; no switch rounds them"
    )
    _judge(sheet, found)
    judge_answered(sheet, outcomes)


def _compared(
    sample: Sample, limit_s: float, *, has_real_weights: bool
) -> tuple[dict[str, Any], list[Outcome]]:
    """What is found in about that many seconds, and outcomes of requests alone.

    Comparisons stop when their time is up, after one request at least.
    """
    started_s = time.monotonic()

    def share_s(share: float) -> float:
        return share * (limit_s - (time.monotonic() - started_s))

    executor = GapKeeper(sample.loaded, sample.task, max_state_bytes=STATE_BYTES)
    outcomes, gaps = _in_mixed_batches(executor, sample.pairs, share_s(BATCHES_SHARE))
    figures: dict[str, Any] = {"requests": len(sample.pairs), "verdicts": len(outcomes)}
    figures |= facts_of(executor)
    figures["recheck_share"] = round(executor.num_tie_rechecks / len(outcomes), 4)
    figures["batches_s"] = round(time.monotonic() - started_s, 2)
    if is_cuda(sample.loaded.device) and sample.loaded.dtype == "bfloat16":
        figures |= _changed_by_reductions(sample, outcomes, share_s(BATCHES_SHARE))
    alone = _in_time(
        sample.pairs[: len(outcomes)],
        share_s(0.5 if has_real_weights else 1.0),
        lambda pair: evaluate_alone(sample.loaded, sample.task, *pair),
    )
    figures["alone"] = len(alone)
    together = outcomes[: len(alone)]
    figures["verdict_flips"] = sum(
        essence(one) != essence(other) for one, other in zip(alone, together, strict=True)
    )
    margins = _margin_differences(alone, together)
    figures["margins_that_differ"] = sum(difference != 0.0 for difference in margins)
    if has_real_weights:
        figures |= _materialised(sample, outcomes, gaps, share_s(1.0))
    return figures, alone


def _in_mixed_batches(
    executor: GapKeeper, pairs: Sequence[Pair], limit_s: float
) -> tuple[list[Outcome], list[float]]:
    """Outcomes and gaps of pairs, while there is time, in batches of 1 to `MAX_BATCH`.

    The first one is of 1, and none is larger than there is time for, as the last ones took it.
    """
    rng, started_s, fitting = random.Random(0), time.monotonic(), 1
    outcomes: list[Outcome] = []
    gaps: list[float] = []
    while len(outcomes) < len(pairs) and fitting:
        size = min(fitting, round(2 ** rng.uniform(0, math.log2(MAX_BATCH))))
        first = len(outcomes)
        some, some_gaps = executor.evaluate_with_gaps(pairs[first : first + size])
        outcomes += some
        gaps += some_gaps
        taken_s = time.monotonic() - started_s
        fitting = int(len(outcomes) * max(0.0, limit_s - taken_s) / max(taken_s, 1e-6))
    return outcomes, gaps


def _in_time(
    pairs: Sequence[Pair], limit_s: float, evaluate: Callable[[Pair], Outcome]
) -> list[Outcome]:
    """The outcomes of as many of the first pairs as there is time for, of one at least."""
    end_s = time.monotonic() + limit_s
    outcomes = [evaluate(pairs[0])]
    in_time = itertools.takewhile(lambda _: time.monotonic() < end_s, pairs[1:])
    return outcomes + [evaluate(pair) for pair in in_time]


def _margin_differences(some: Sequence[Outcome], others: Sequence[Outcome]) -> list[float]:
    return [
        abs(one.margin - other.margin)
        for one, other in zip(some, others, strict=True)
        if isinstance(one, Verdict)
        and isinstance(other, Verdict)
        and one.margin is not None
        and other.margin is not None
    ]


def _changed_by_reductions(
    sample: Sample, outcomes: Sequence[Outcome], limit_s: float
) -> dict[str, int]:
    """How many verdicts are others if products may sum in 16 bits the way that is not set now."""
    switch = torch.backends.cuda.matmul
    before = switch.allow_bf16_reduced_precision_reduction
    switch.allow_bf16_reduced_precision_reduction = not before
    try:
        executor = GapKeeper(sample.loaded, sample.task, max_state_bytes=STATE_BYTES)
        others, _ = _in_mixed_batches(executor, sample.pairs[: len(outcomes)], limit_s)
    finally:
        switch.allow_bf16_reduced_precision_reduction = before
    changed = [essence(one) != essence(other) for one, other in zip(outcomes, others, strict=False)]
    return {
        "compared_with_reduced_precision_sums": len(changed),
        "changed_by_reduced_precision_sums": sum(changed),
    }


def _materialised(
    sample: Sample, outcomes: Sequence[Outcome], gaps: Sequence[float], limit_s: float
) -> dict[str, Any]:
    """How near verdicts are to those of the plain transformers model."""

    def plain(pair: Pair) -> Outcome:
        try:
            return evaluate_path(sample.loaded, sample.task, *pair)
        except SearchClusterError as error:  # such as NaN on a ruinous path
            return error

    started_s = time.monotonic()
    references = _in_time(sample.pairs[: len(outcomes)], limit_s, plain)
    took_s = time.monotonic() - started_s
    others = [
        index
        for index, (one, other) in enumerate(zip(references, outcomes, strict=False))
        if essence(one) != essence(other)
    ]
    noise = sorted(_margin_differences(references, outcomes[: len(references)]))
    at_others = [gaps[index] for index in others if not math.isnan(gaps[index])]
    known = [gap for gap in gaps if not math.isnan(gap)]
    return {
        "compared_with_materialised": len(references),
        "materialised_agreement": round(1.0 - len(others) / len(references), 5),
        "materialised_ms": round(took_s / len(references) * 1e3, 1),
        "margin_noise": {str(share): _quantile(noise, share) for share in (0.5, 0.99, 0.999, 1.0)},
        "share_of_gaps_up_to": {
            str(limit): round(sum(gap <= limit for gap in known) / max(1, len(known)), 4)
            for limit in THRESHOLDS
        },
        # Of verdicts that were not computed again: the others agree by construction.
        "threshold_that_would_agree": max(at_others, default=0.0),
    }


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _judge(sheet: Sheet, found: Mapping[str, dict[str, Any]]) -> None:
    flips = sum(figures["verdict_flips"] for figures in found.values())
    compared = sum(figures["alone"] for figures in found.values())
    bits = sum(figures["margins_that_differ"] for figures in found.values())
    few = [
        name
        for name, figures in found.items()
        if figures["alone"] < min(LEAST_VERDICTS, figures["requests"])
    ]
    for rule, number in ((ALONE, flips), (BITS, bits)):
        if few and not number:
            sheet.leave(rule, f"there was no time for {LEAST_VERDICTS} verdicts of {few[0]}")
        else:
            sheet.judge(rule, f"{number} of {compared} differ", number == 0)
    share: Figure = max(figures["recheck_share"] for figures in found.values())
    assert isinstance(share, float)
    sheet.judge(RECHECKS, share, share <= MAX_RECHECK_SHARE)
