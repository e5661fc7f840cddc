"""What goes wrong, without a word of the tools, where a path runs outside of this project."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from search_cluster.paths.layer_path import LayerPath


class SpecFormat(StrEnum):
    """In which notation a path is written."""

    HF = "hf"
    """A plain checkpoint; no notation, but the same traps."""
    MERGEKIT = "mergekit"
    GGUF_PATH = "gguf-path"
    PRUNE_LAYERS = "prune-layers"
    RYS = "rys"
    LAYERS = "layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What of a model decides whether a path runs elsewhere as it does here."""

    layer_kinds: tuple[str, ...]
    """For each layer what it is beside its weights, such as ``sliding_attention``."""
    lists_layer_types: bool
    """Whether its configuration has a list of layer types, as transformers 5 reads it."""


_BY_POSITION = (SpecFormat.MERGEKIT, SpecFormat.GGUF_PATH, SpecFormat.PRUNE_LAYERS)
"""Formats whose tools leave it to a layer's new position what kind it is."""
_DRAFTS = (
    "draft models and heads for several tokens (EAGLE, MTP, DFlash) refer to the plain model's "
    "layer numbers: leave them out, or make them again"
)
_NOT_KNOWN = (
    "the model's configuration is not at hand: if its layers differ by position (sliding windows, "
    "hybrids, layer_types), only whole periods of them may be left out or repeated there"
)


def traps_of(spec_format: SpecFormat, path: LayerPath, facts: ModelFacts | None) -> tuple[str, ...]:
    """What to mind, a line each.

    Args:
        spec_format: how the path is written.
        path: the path.
        facts: the model; ``None`` if it is not at hand.
    """
    found = []
    num_copies = len(path) - len(set(path.layers))
    if num_copies:
        found.append(_repeats(spec_format, path, num_copies))
    changes_depth = len(path) != path.num_layers
    may_list_types = facts is None or facts.lists_layer_types
    if spec_format is SpecFormat.MERGEKIT and changes_depth and may_list_types:
        found.append(
            f"{'if' if facts is None else 'as'} the model's configuration lists layer_types, "
            "transformers 5 refuses to save it with another number of layers, which is all that "
            "mergekit changes: take --format hf"
        )
    if spec_format in _BY_POSITION:
        if facts is None:
            found.append(_NOT_KNOWN)
        elif (misplaced := _misplaced(path, facts.layer_kinds)) is not None:
            found.append(f"{misplaced}: take --format hf")
    if (
        spec_format is SpecFormat.HF
        and facts is not None
        and (misplaced := _misplaced(path, facts.layer_kinds)) is not None
    ):
        found.append(
            "this folder says the kind of each layer, but converted for llama.cpp it may lose that "
            f"(Gemma 2 and 3, SmolLM 3): {misplaced}"
        )
    return (*found, _DRAFTS)


def _repeats(spec_format: SpecFormat, path: LayerPath, num_copies: int) -> str:
    cache = f"the KV cache holds {len(path)} layers instead of {path.num_layers}"
    is_larger = len(path) > path.num_layers
    if spec_format in (SpecFormat.RYS, SpecFormat.LAYERS):
        return (
            f"each of the {num_copies} repeated runs needs a place of its own in the KV cache"
            f"{f' ({cache})' if is_larger else ''}: a loader that shares it among the runs of a "
            "layer computes something else"
        )
    clones = (
        "; without --clone-tensors mergekit 0.1.5 warns that they share memory, older ones may stop"
        if spec_format is SpecFormat.MERGEKIT
        else ""
    )
    return (
        f"the {num_copies} repeated runs are copies of weights"
        f"{f', and {cache}' if is_larger else ''}{clones}"
    )


def _misplaced(path: LayerPath, kinds: Sequence[str]) -> str | None:
    """The first layer that becomes another kind at its new position; ``None`` if none does."""
    period = next(
        size
        for size in range(1, len(kinds) + 1)
        if all(kind == kinds[at % size] for at, kind in enumerate(kinds))
    )
    for position, layer in enumerate(path.layers):
        there = kinds[position % period]
        if kinds[layer] != there:
            periods = (
                f" (whole periods of {period} layers may be left out or repeated)"
                if 2 * period <= len(kinds)
                else ""
            )
            return (
                f"this model's layers differ by position: layer {layer} ({kinds[layer]}) gets to "
                f"position {position}, where such tools run {there}, so that it computes something "
                f"else{periods}"
            )
    return None
