"""``search-cluster bridge fit``: maps for the layers that paths leave out."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search_cluster.bridged_spec import BridgeKind
from search_cluster.commands.bridge.texts import TextChoice, fitting_texts, judging_texts
from search_cluster.commands.lens.settings import LensTextConfig
from search_cluster.commands.lens.texts import asked_texts, require_other_text
from search_cluster.commands.model import load_configured
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.config import SearchConfig
from search_cluster.console import say
from search_cluster.errors import ConfigError
from search_cluster.lock import locked_run_folder
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import path_costs
from search_cluster.model.bridge.distilling import (
    Distillation,
    DistillationSettings,
    distil_bridges,
)
from search_cluster.model.bridge.divergence import path_divergences
from search_cluster.model.bridge.fitting import (
    BridgeFit,
    fit_bridges,
    jumps_to_bridge,
    paths_of_jumps,
)
from search_cluster.model.bridge.folder import (
    CONFIG_NAME,
    load_bridges,
    read_bridges_record,
    save_bridges,
)
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.fitting.unfinished import UnfinishedFit
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.codec import parse_path
from search_cluster.paths.jumps import parse_jump
from search_cluster.paths.layer_path import LayerPath

SUMS_NAME, DESCENT_NAME = "unfinished.safetensors", "descent.safetensors"
UNFINISHED_NAMES = (SUMS_NAME, DESCENT_NAME)
DIGITS = 6
"""Digits behind the point of a divergence in nats."""


def fit_bridge_set(
    config: SearchConfig,
    texts: TextChoice,
    *,
    paths: Sequence[str],
    jumps: Sequence[str],
    kind: BridgeKind,
    out: Path,
    distillation: DistillationSettings | None = None,
) -> dict[str, Any]:
    """Fit bridges, judge them on text that they have not seen, and write the set.

    Args:
        config: which model, the seed, and where data is.
        texts: what to fit to and to judge by.
        paths: paths whose jumps get bridges.
        jumps: more jumps, each judged as the only one of the plain model.
        kind: what the maps may do.
        out: the folder of the set; an unfinished fit of the same inputs there is gone on from, and
            a finished one is taken as it is.
        distillation: how `BridgeKind.DISTILLED` descends; ``None``: as usual.

    Raises:
        ConfigError: no jump or not one kind of text is named, the text to judge by is the one that
            teaches, or the folder holds another set.
        ModelError: the model can't be loaded, or has bridges already.
        CorpusError: another process writes into the folder, or this one can't.
    """
    started_s = time.perf_counter()
    require_other_text(texts.text, texts.judge_text, "--judge-text")
    loaded = load_configured(config)
    if loaded.bridges_folder is not None:
        raise ConfigError(
            f"model {loaded.spec!r} has bridges already; fit bridges to the model without them"
        )
    judged = [parse_path(text, loaded.num_layers) for text in paths]
    judged += paths_of_jumps(
        [parse_jump(text, loaded.num_layers) for text in jumps], loaded.num_layers
    )
    if not judged:
        raise ConfigError("nothing is named to bridge; give --path or --jump")
    jumps_to_bridge(judged)  # before texts are made, which may take minutes
    with ExitStack() as stack:
        stack.enter_context(locked_run_folder(out))
        progress = PassProgress("bridges")
        fitted = fitting_texts(loaded, texts, config, kept=out, progress=progress)
        for note in fitted.notes:
            say(note)
        inputs = {
            "model": loaded.fingerprint,
            "paths": list(map(str, judged)),
            "texts": fitted.digest,
            "kind": kind.value,
            "judged_by": None
            if texts.judge_text is None
            else asked_texts(config, LensTextConfig(text=texts.judge_text)),
            "judge_tokens": texts.judge_tokens,
        }
        settings = None
        if kind is BridgeKind.DISTILLED:
            settings = distillation or DistillationSettings(seed=config.seed)
            inputs["distillation"] = asdict(settings)
        finished = _finished(out, inputs, loaded)
        if finished is not None:
            return finished
        unfinished = {name: UnfinishedFit(out / name, inputs) for name in UNFINISHED_NAMES}
        split = split_sequences(fitted.sequences)
        source, held_out = judging_texts(loaded, texts, fitted)  # before the fit, which takes long
        fit = fit_bridges(
            loaded.model,
            judged,
            fitted.sequences,
            kind=kind if settings is None else BridgeKind.LINEAR,
            unfinished=unfinished[SUMS_NAME],
            progress=lambda done: progress("texts", done, len(split.fitted)),
        )
        trained: dict[str, Any] = {}
        if settings is not None:
            distilled = distil_bridges(
                loaded.model,
                judged,
                fitted.sequences,
                fit,
                settings=settings,
                unfinished=unfinished[DESCENT_NAME],
                progress=lambda done, total: progress("steps", done, total),
            )
            fit, trained = distilled.fit, {"distillation": _descent_figures(distilled)}
        figures = [_figures(loaded, path, fit, held_out) for path in judged]
        found = {
            "model": loaded.spec,
            "kind": kind.value,
            "digest": fit.bridges.digest,
            "fingerprint": with_bridges(loaded, fit.bridges).fingerprint,
            "jumps": list(map(str, fit.bridges.jumps)),
            "strengths": {str(jump): strength for jump, strength in fit.strengths.items()},
            "text": fitted.source,
            "tokens": fitted.num_tokens,
            "fitted_tokens": fit.num_rows,
            **trained,
            "held_out_text": source,
            **{name: value for name, value in figures[0].items() if name != "path"},
            "paths": figures,
        }
        save_bridges(out, fit.bridges, loaded, {"inputs": inputs, **found})
        for part in unfinished.values():
            part.remove()
        return {**found, "seconds": round(time.perf_counter() - started_s, 1), "out": str(out)}


def _finished(out: Path, inputs: dict[str, Any], loaded: LoadedModel) -> dict[str, Any] | None:
    """What a finished fit of these inputs found, if its files are whole."""
    if not (out / CONFIG_NAME).is_file():
        return None
    found = read_bridges_record(out).found
    if found.get("inputs") != inputs:
        raise ConfigError(
            f"{out} holds bridges of other texts, paths or another model; name another folder with "
            "--out"
        )
    try:
        load_bridges(out, loaded)
    except ConfigError as error:
        say(f"{out} is damaged, so the bridges are fitted again ({error})")
        return None
    say(f"{out} holds these bridges already")
    kept = {name: value for name, value in found.items() if name != "inputs"}
    return {**kept, "seconds": 0.0, "out": str(out)}


def _descent_figures(found: Distillation) -> dict[str, Any]:
    """How a descent went, by the texts that chose its step."""
    return {
        "started_from": "nothing" if found.start is None else found.start.value,
        "steps": found.num_steps,
        "best_step": found.best_step,
        "choosing_divergence_before": round(found.divergence_before, DIGITS),
        "choosing_divergence": round(found.divergence, DIGITS),
    }


def _figures(
    loaded: LoadedModel, path: LayerPath, fit: BridgeFit, held_out: Sequence[TokenSequence]
) -> dict[str, Any]:
    """How far a path is from the full model, and what it saves."""
    others = sorted(fit.at_equal_cost.items())
    sets = [fit.bridges, None, *(item for _, item in others)]
    found = path_divergences(loaded.model, path, sets, held_out)
    divergence, bare, *simple = found.mean_C
    cost = path_costs(with_bridges(loaded, fit.bridges).model).crossing(path)
    saved = path.num_layers - len(path) - cost
    return {
        "path": str(path),
        "held_out_tokens": found.num_rows,
        "divergence": round(divergence, DIGITS),
        "divergence_bare": round(bare, DIGITS),
        "cut": round(1.0 - divergence / bare, 4) if bare else 0.0,
        "divergence_at_equal_cost": {
            kind.value: round(value, DIGITS)
            for (kind, _), value in zip(others, simple, strict=True)
        },
        "bridge_cost_layers": round(cost, 4),
        "layers_saved": round(saved, 4),
        "share_saved": round(saved / path.num_layers, 4),
    }
