"""``router-train bench``: wall-clock speed of routers against the plain model."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from router_train.commands.asked import asked_task
from router_train.commands.prompts import prompts_of
from router_train.data.question_choice import QuestionChoice
from router_train.evaluation.speed import ALLOWED_FORMULA, BatchSpeed, measure_speed
from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import META_NAME, load_router, read_meta
from search_cluster.console import print_json, show
from search_cluster.errors import ConfigError

UNDECIDED = ", and rounds disagree on which is faster"


def run_bench(
    places: Sequence[Path],
    questions: QuestionChoice,
    model: ModelChoice,
    *,
    batch_sizes: Sequence[int],
    new_tokens: int,
    num_rounds: int,
    threshold: float,
    json_output: bool,
) -> None:
    """Measure every router of ``places`` at every batch size, one by one, on the same prompts.

    A router that is named twice, as by its run, is measured once.

    Args:
        places: checkpoints, or run folders with checkpoints in ``routers``.
        questions: whose prompts are read; without a task spec: the task that the first router was
            trained on.
        model: the routers' model.
        batch_sizes: rows that are answered together.
        new_tokens: generated per row.
        num_rounds: per batch size.
        threshold: see `RoutedModel`.
        json_output: whether to print the numbers as JSON.
    """
    found = [folder for place in places for folder in router_folders(place)]
    folders = list({folder.resolve(): folder for folder in found}.values())
    first = read_meta(folders[0])
    loaded = model.load(first.model_spec, first.model_dtype, first.chat)
    task = asked_task(folders[0], questions)
    prompts = prompts_of(loaded, questions, task, max(batch_sizes) * num_rounds)
    if len(prompts) < max(batch_sizes):  # before minutes are spent on smaller batches
        raise ConfigError(
            f"{len(prompts)} prompts do not fill a batch of {max(batch_sizes)}; ask a larger task "
            "or split, or name smaller --batch-sizes"
        )
    load_before = os.getloadavg()[0]
    routers: dict[str, Any] = {}
    for folder in folders:
        router, meta = load_router(folder, loaded)
        routed = RoutedModel(loaded, router, threshold=threshold)
        batches: dict[str, Any] = {}
        for batch_size in batch_sizes:
            speed = measure_speed(
                loaded,
                routed,
                prompts,
                batch_size=batch_size,
                new_tokens=new_tokens,
                num_rounds=num_rounds,
            )
            show(_speed_text(f"{meta.kind} ({folder})", batch_size, speed), json_output=json_output)
            batches[str(batch_size)] = asdict(speed)
        routers[str(folder)] = {"router": meta.kind, "batches": batches}
    result = {
        "model": loaded.spec,
        "device": str(loaded.model.device),
        "dtype": loaded.dtype,
        "threads": torch.get_num_threads(),
        "load_average": load_before,
        "new_tokens": new_tokens,
        "num_prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
        "threshold": threshold,
        "formula": ALLOWED_FORMULA,
        "routers": routers,
    }
    show(_conditions_text(result), json_output=json_output)
    if json_output:
        print_json(result)


def router_folders(place: Path) -> tuple[Path, ...]:
    """The checkpoint of a folder, or those of a run.

    Raises:
        ConfigError: there is none.
    """
    if (place / META_NAME).is_file():
        return (place,)
    found = tuple(sorted(file.parent for file in (place / "routers").glob(f"*/{META_NAME}")))
    if not found:
        raise ConfigError(
            f"{place} holds neither {META_NAME} nor routers/*/{META_NAME}; train a router first: "
            f"router-train fit --corpus RUN --out {place}"
        )
    return found


def _speed_text(name: str, batch_size: int, speed: BatchSpeed) -> str:
    share = (
        ""
        if speed.share_of_allowed is None or speed.speed_up <= 1
        else f", {speed.share_of_allowed:.0%} of the allowed gain"
    )
    one = speed.num_rounds == 1
    rounds = "one round" if one else f"{speed.speed_up_min:.3f} to {speed.speed_up_max:.3f} within"
    undecided = "" if one or not speed.speed_up_min < 1 < speed.speed_up_max else UNDECIDED
    plain = (speed.plain_tokens_per_s, speed.plain_tokens_per_s_min, speed.plain_tokens_per_s_max)
    routed = (
        speed.routed_tokens_per_s,
        speed.routed_tokens_per_s_min,
        speed.routed_tokens_per_s_max,
    )
    return (
        f"{name}, batch {batch_size}: {_rate_text(plain, one)} -> {_rate_text(routed, one)} "
        f"tokens/s, {speed.speed_up:.3f} times as fast ({rounds}{'' if one else ' rounds'})"
        f"{undecided}; {speed.layer_share:.1%} of the layer applications allow "
        f"{speed.allowed_speed_up:.3f}{share}"
    )


def _rate_text(median_and_ends: tuple[float, float, float], one: bool) -> str:
    median, low, high = median_and_ends
    return f"{median:.1f}" if one else f"{median:.1f} ({low:.1f} to {high:.1f})"


def _conditions_text(result: Mapping[str, Any]) -> str:
    return (
        f"medians over rounds (slowest to fastest round); {result['device']}, {result['dtype']}, "
        f"{result['threads']} threads; load average at the start {result['load_average']:.1f} "
        "(above 1, other work has slowed single rounds)"
    )
