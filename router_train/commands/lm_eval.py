"""``router-train lm-eval``: the harness on the routed and on the plain model, side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from router_train.commands.harness_options import HarnessOptions
from router_train.evaluation.harness_tasks import (
    harness_errors,
    require_chat_template,
    require_tasks,
)
from router_train.evaluation.lm_eval import RoutedLM
from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedModel
from router_train.routers.base import Router
from router_train.routers.checkpoint import load_router, read_meta
from router_train.routers.fixed import FixedRouter
from search_cluster.console import print_json, say, show
from search_cluster.errors import ConfigError
from search_cluster.files import write_text_whole
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

BOOTSTRAP_ITERATIONS = 1000
"""The number of resamples behind the harness' standard errors."""

NORMAL_95 = 1.96
"""Half of a 95 % interval of a normal distribution, in standard errors."""


def run_harness(
    router_folder: Path,
    options: HarnessOptions,
    model: ModelChoice,
    *,
    out: Path | None,
    json_output: bool,
) -> None:
    """``router-train lm-eval``.

    Raises:
        ConfigError: the harness does not know a task or can't run it, or the model can't be asked
            as it is told to.
    """
    manager = require_tasks(options.tasks, options.include_path, num_fewshot=options.num_fewshot)
    meta = read_meta(router_folder)
    loaded = model.load(meta.model_spec, meta.model_dtype, meta.chat)
    options = replace(options, apply_chat_template=options.asks_in_template(meta.chat))
    if options.apply_chat_template:
        require_chat_template(loaded)
    if meta.chat and options.apply_chat_template != (meta.chat == "always"):
        say(
            f"the router was trained on questions asked {_style(meta.chat == 'always')}, and is "
            f"asked {_style(options.apply_chat_template)}"
        )
    router, meta = load_router(router_folder, loaded)
    identity = FixedRouter(LayerPath.identity(loaded.num_layers))
    routed, layers = _judge(loaded, router, options, manager, threshold=options.threshold)
    plain = _judge(loaded, identity, options, manager, threshold=0.0)[0] if options.plain else None
    result = {
        "router": meta.kind,
        "trained_on": meta.inputs.task,
        "threshold": options.threshold,
        "model": loaded.spec,
        "limit": options.limit,
        "num_fewshot": options.num_fewshot,
        "apply_chat_template": options.apply_chat_template,
        "layers_plain": loaded.num_layers,
        "layers_routed": layers,
        "layers_saved_share": 1 - layers / loaded.num_layers,
        "routed": routed,
        "plain": plain,
    }
    for name, metrics in routed.items():
        show(
            f"{name}: {_metrics_text(metrics, None if plain is None else plain[name])}",
            json_output=json_output,
        )
    show(f"{layers:.2f} of {loaded.num_layers} layers per request", json_output=json_output)
    if out is not None:
        write_text_whole(out, json.dumps(result, indent=2) + "\n")
    if json_output:
        print_json(result)


def _style(in_template: bool) -> str:
    return "in the chat template" if in_template else "in plain text"


def _judge(
    loaded: LoadedModel,
    router: Router,
    options: HarnessOptions,
    manager: TaskManager,
    *,
    threshold: float,
) -> tuple[dict[str, dict[str, Any]], float]:
    """Metrics per task, and the mean layers of a request's path."""
    lm = RoutedLM(
        loaded, RoutedModel(loaded, router, threshold=threshold), batch_size=options.batch_size
    )
    with harness_errors(f"run {', '.join(options.tasks)}"):
        found = simple_evaluate(
            model=lm,
            tasks=list(options.tasks),
            task_manager=manager,
            limit=options.limit,
            num_fewshot=options.num_fewshot,
            apply_chat_template=options.apply_chat_template,
            batch_size=options.batch_size,
            bootstrap_iters=BOOTSTRAP_ITERATIONS,
            log_samples=False,
        )
    if found is None or not lm.path_lengths:
        raise ConfigError(
            f"the harness asked nothing for {', '.join(options.tasks)}; see its output above"
        )
    metrics = {name: _numbers(values) for name, values in found["results"].items()}
    return metrics, sum(lm.path_lengths) / len(lm.path_lengths)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics without the harness' decorations; an unknown standard error is null."""
    return {
        key.removesuffix(",none"): value if isinstance(value, int | float) else None
        for key, value in values.items()
        if key not in ("alias", "name") and (isinstance(value, int | float) or "stderr" in key)
    }


def _metrics_text(routed: Mapping[str, Any], plain: Mapping[str, Any] | None) -> str:
    names: Sequence[str] = [
        name
        for name, value in routed.items()
        if "stderr" not in name and name != "sample_len" and value is not None
    ]
    shown = ", ".join(
        f"{name} {_metric(name, routed)}"
        + ("" if plain is None else f" (plain {_metric(name, plain)})")
        for name in names
    )
    num = routed.get("sample_len")
    spread = "± spans 95 %" if "±" in shown else "no spread"
    return shown if num is None else f"{shown}; {num} questions, {spread}"


def _metric(name: str, metrics: Mapping[str, Any]) -> str:
    """A metric with half of its 95 % interval, where the harness gives a standard error.

    It gives 0 where all questions were answered alike, however few they were: that is no interval.
    """
    metric, comma, filtered = name.partition(",")
    error = metrics.get(f"{metric}_stderr{comma}{filtered}")
    spread = "" if not error else f" ± {NORMAL_95 * error:.2g}"
    return f"{metrics[name]:.4g}{spread}"
