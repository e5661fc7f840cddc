"""The card of a trained router on the hub."""

from collections.abc import Sequence
from dataclasses import fields
from shlex import join

from router_train.config import FitConfig
from router_train.export.card import evaluation_table
from router_train.export.evaluations import CardEvaluation
from router_train.routers.checkpoint import RouterMeta
from router_train.training.of_scan import SCAN_PRESET
from search_cluster.hub.card import Card, hub_id_of, model_facts, model_title, versions_text


def router_card(
    meta: RouterMeta, evaluations: Sequence[CardEvaluation], *, location: str, dataset: str | None
) -> Card:
    """What the card says, from the router's own files.

    Args:
        meta: the router's description.
        evaluations: what was measured of it; may be empty.
        location: how it is named.
        dataset: the repository of the corpus or the scan that taught it; ``None``: it came from
            elsewhere.
    """
    title = model_title(meta.model_spec)
    task = meta.inputs.tasks[0]
    return Card(
        title=f"{meta.kind} router of {title} on {meta.inputs.task}",
        what=f"A `{meta.kind}` router: while a prompt is read, it is decided which layers of "
        f"{title}, a frozen language model of {meta.num_layers} layers, run for it and for its "
        "answer. The model is not inside.",
        use=(
            f'router-train generate --router {location} --prompt "What is the capital of Peru?"',
            f"router-train evaluate --router {location} --task {task} --split test",
        ),
        measured="\n\n".join([evaluation_table(evaluations, meta), *_in_sample(meta)]),
        how={
            "training": f"`{_command(meta)}`",
            "evaluation": _evaluated(evaluations, location),
            "model": model_facts(meta.model_spec, meta.inputs.model_fingerprint, meta.model_dtype),
            "taught by": f"digest `{meta.inputs.corpus_digest}`, preset `{meta.preset}`, search "
            f"seed {meta.search_seed}; {meta.num_train} questions for training, "
            f"{meta.num_validation} for validation",
            "task": f"`{meta.inputs.task}` version {meta.inputs.task_version}",
            "seed": str(meta.inputs.config.seed),
            "versions": versions_text(meta.versions),
            "router digest": f"`{meta.digest}`, weights sha256 `{meta.weights_sha256}`",
        },
        rights="The router was trained on outputs of the model named above; its licence applies.",
        data={
            "base_model": hub_id_of(meta.model_spec),
            "datasets": None if dataset is None else [dataset],
        },
    )


def _in_sample(meta: RouterMeta) -> list[str]:
    """What training saw of it, and that it is no promise."""
    if not meta.metrics:
        return []
    judged = meta.judged_on or "questions of the corpus"
    rows = (f"| {name} | {value:.4g} |" for name, value in meta.metrics.items())
    return [
        "\n".join(
            [
                f"What was seen while it was made, on {judged}:",
                "",
                "| figure | value |",
                "|---|---:|",
                *rows,
            ]
        )
    ]


def _evaluated(evaluations: Sequence[CardEvaluation], location: str) -> str:
    commands = [
        join(
            [
                *("router-train", "evaluate", "--router", location, "--task", row.task),
                *("--split", row.split, "--limit", str(row.n), "--threshold", f"{row.threshold:g}"),
            ]
        )
        for row in evaluations
    ]
    return ", ".join(f"`{item}`" for item in commands)


def _command(meta: RouterMeta) -> str:
    """The settings on record as a command; those that no flag sets are left out."""
    if meta.preset == SCAN_PRESET:
        return join(["router-train", "static", "SCAN", "--path", str(meta.settings["path"])])
    config, plain = meta.inputs.config, FitConfig()
    words = ["router-train", "fit", "--corpus", "CORPUS", "--router", meta.kind]
    for item in fields(FitConfig):
        flag = item.metadata.get("flag", f"--{item.name.replace('_', '-')}")
        value = getattr(config, item.name)
        if item.name != "router" and flag is not None and value != getattr(plain, item.name):
            words += [flag, str(value)]
    return join(words)
