"""How long layer paths take beside the plain model, measured in one run.

A task here is what a server does: read prompts of a usual length, then write a few tokens to each,
greedily, with the KV cache of an ordinary model. Every round runs the plain model and all paths one
after the other and begins with another of them, so that a machine which slows down slows down all.

Shapes: B rows, T tokens of a prompt.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.errors import ConfigError
from search_cluster.model.materialise import materialise
from search_cluster.model.runtime import wait_for_device
from search_cluster.paths.layer_path import LayerPath

PROMPT_TOKENS = 128
"""The length of a prompt: a question with its choices, or a short message."""
NEW_TOKENS = 8
"""Tokens that are written to each prompt."""
NUM_ROUNDS = 5
"""Rounds, of which the median counts; one more comes first and is thrown away."""
MIN_ROUNDS = 3
"""Rounds that a slow machine makes in any case."""
PATIENCE_S = 30.0
"""Seconds at a batch size after which no round begins beyond `MIN_ROUNDS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTime:
    """What one path takes at one batch size."""

    path: LayerPath
    """The path."""
    batch: int
    """Prompts at a time."""
    seconds: float
    """The median of the rounds."""
    plain_seconds: float
    """The plain model's median of the same rounds."""


def measure_path_times(
    model: PreTrainedModel,
    paths: Sequence[LayerPath],
    batches: Sequence[int] = (1, 8),
    *,
    prompt_tokens: int = PROMPT_TOKENS,
    new_tokens: int = NEW_TOKENS,
    num_rounds: int = NUM_ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[PathTime, ...]:
    """The times of all paths at all batch sizes, path by path.

    The prompts are random tokens: what they say changes no time but that of models of experts.

    Args:
        model: the plain model, which is not changed.
        paths: paths of its depth.
        batches: how many prompts at a time.
        prompt_tokens: the length of each prompt.
        new_tokens: tokens that are written to each, at least 1.
        num_rounds: rounds that count at most; fewer, but `MIN_ROUNDS`, where a batch size takes
            longer than `PATIENCE_S`.
        clock: seconds that only grow.

    Raises:
        ConfigError: a number is not positive, or the model takes no texts of that length.
        InvalidPathError: a path belongs to a model of another depth.
    """
    _require_fit(
        model, (*batches, prompt_tokens, new_tokens, num_rounds), prompt_tokens + new_tokens
    )
    runners = [model, *(materialise(model, path) for path in paths)]
    found: dict[tuple[int, int], float] = {}
    for batch in batches:
        ids_BT = _prompts(model, batch, prompt_tokens)
        rounds = _rounds(runners, ids_BT, new_tokens, num_rounds, clock)
        for number in range(len(runners)):
            found[number, batch] = statistics.median(times[number] for times in rounds)
    return tuple(
        PathTime(
            path=path,
            batch=batch,
            seconds=found[number, batch],
            plain_seconds=found[0, batch],
        )
        for number, path in enumerate(paths, start=1)
        for batch in batches
    )


def _require_fit(model: PreTrainedModel, numbers: Sequence[int], length: int) -> None:
    if min(numbers) < 1:
        raise ConfigError(
            f"{min(numbers)} of something to time; batches, tokens and rounds are at least 1"
        )
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and length > longest:
        raise ConfigError(
            f"a prompt with its answer has {length} tokens; the model takes {longest}: time "
            "shorter ones"
        )


def _prompts(model: PreTrainedModel, batch: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(model.config.vocab_size, (batch, length), generator=generator)
    return ids_BT.to(model.device)


def _rounds(
    runners: Sequence[PreTrainedModel],
    ids_BT: Tensor,
    new_tokens: int,
    num_rounds: int,
    clock: Callable[[], float],
) -> list[list[float]]:
    """The seconds of each round that counts, for each runner."""
    started_s = clock()
    _round_s(runners, ids_BT, new_tokens, first=0, clock=clock)
    rounds: list[list[float]] = []
    while len(rounds) < num_rounds and (
        len(rounds) < MIN_ROUNDS or clock() - started_s < PATIENCE_S
    ):
        number = len(rounds) + 1
        rounds.append(_round_s(runners, ids_BT, new_tokens, first=number, clock=clock))
    return rounds


def _round_s(
    runners: Sequence[PreTrainedModel],
    ids_BT: Tensor,
    new_tokens: int,
    *,
    first: int,
    clock: Callable[[], float],
) -> list[float]:
    """The seconds of each runner, in the order of the runners whichever began."""
    times_s = [0.0] * len(runners)
    for turn in range(len(runners)):
        number = (first + turn) % len(runners)
        wait_for_device(ids_BT.device)
        started_s = clock()
        _answer(runners[number], ids_BT, new_tokens)
        wait_for_device(ids_BT.device)
        times_s[number] = clock() - started_s
    return times_s


@torch.inference_mode()
def _answer(runner: PreTrainedModel, ids_BT: Tensor, new_tokens: int) -> None:
    """Read the prompts and write to each, whatever tokens come."""
    cache = DynamicCache(config=runner.config)
    for _ in range(new_tokens):
        said = runner(ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1)
        ids_BT = said.logits[:, -1].argmax(dim=-1, keepdim=True)
