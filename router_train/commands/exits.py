"""``router-train exits``: where the tokens of generated text stop, and what that saves."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_train.commands.asked import asked_task, may_have_taught, taught_lines
from router_train.commands.prompts import prompts_of
from router_train.data.question_choice import QuestionChoice
from router_train.evaluation.token_exits import measure_token_exits
from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import load_router, read_meta
from search_cluster.console import print_json, show
from search_cluster.files import write_text_whole


def run_exits(
    router_folder: Path,
    questions: QuestionChoice,
    model: ModelChoice,
    *,
    new_tokens: int,
    threshold: float,
    out: Path | None,
    json_output: bool,
) -> None:
    """Measure a router's exits on a task's prompts, and print the figures.

    Args:
        router_folder: the router, whose tokens stop by themselves.
        questions: whose prompts are generated after; without a task: the router's own.
        model: the router's model.
        new_tokens: generated after each prompt, at most.
        threshold: see `RoutedModel`.
        out: a file for the JSON object; ``None``: none.
        json_output: whether to print it.

    Raises:
        SearchClusterError: router, task or model are not as they must be.
    """
    task = asked_task(router_folder, questions)
    meta = read_meta(router_folder)
    loaded = model.load(meta.model_spec, meta.model_dtype, meta.chat)
    router, meta = load_router(router_folder, loaded)
    routed = RoutedModel(loaded, router, threshold=threshold)
    prompts = prompts_of(loaded, questions, task, questions.limit)
    report = measure_token_exits(loaded, routed, prompts, new_tokens=new_tokens)
    result = {
        "router": meta.kind,
        "router_digest": meta.digest,
        "task": task.name,
        "split": questions.split,
        "trained_on": meta.inputs.task,
        "may_have_taught": may_have_taught(meta, task, questions),
        "threshold": threshold,
        "model": loaded.spec,
        "num_layers": loaded.num_layers,
        "new_tokens": new_tokens,
        **asdict(report),
    }
    show(exits_text(result), json_output=json_output)
    if out is not None:
        write_text_whole(out, json.dumps(result, indent=2) + "\n")
    if json_output:
        print_json(result)


def exits_text(result: Mapping[str, Any]) -> str:
    """The figures in words, a few lines."""
    low, high = result["agreement_low"], result["agreement_high"]
    interval = "" if low is None else f" [{low:.1%}, {high:.1%}]"
    lines = [
        f"{result['router']} on {result['num_texts']} texts of the plain model after prompts of "
        f"{result['task']} ({result['split']}), {result['num_tokens']} tokens: "
        f"{result['stopped_share']:.1%} stopped early",
        *(
            f"  behind layer {stops['layer']} ({stops['depth']} layers): {stops['tokens']} tokens "
            f"({stops['share']:.1%}), {stops['agreement']:.1%} as the plain model"
            for stops in result["by_depth"]
        ),
        f"{result['agreement']:.1%}{interval} of all tokens are the plain model's"
        + (
            ""
            if result["stopped_agreement"] is None
            else f", {result['stopped_agreement']:.1%} of those that stopped"
        ),
        f"on these texts {_saved_text(result['on_plain_text'], result['num_layers'])}",
        f"on texts of its own {_saved_text(result['on_own_text'], result['num_layers'])}; "
        f"{result['same_text_share']:.1%} of the texts are the plain model's, and "
        f"{result['same_tokens_share']:.1%} of the tokens come before texts part",
        *taught_lines(result),
    ]
    return "\n".join(lines)


def _saved_text(saved: Mapping[str, float], num_layers: int) -> str:
    share, calls = saved["layers_saved_share"], saved["layer_calls_saved_share"]
    return (
        f"{saved['layers_per_token']:.2f} of {num_layers} layers a token ({share:+.1%} saved, "
        f"{saved['layers_reading']:.2f} of them reading), {calls:+.1%} of the layers' calls saved"
    )
