"""How far a path's predictions are from the full model's, with and without bridges.

The full model and all sets of bridges share a pass up to the path's first jump.

Shapes: B sequences, T tokens, N positions that count, C candidates, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.lens.fitting.divergence import candidate_divergences
from search_cluster.model.lens.fitting.rows import PaddedSequences, batches_of, padded
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDivergences:
    """KL(full model || path) in nats, in the mean over positions, for each set of bridges."""

    mean_C: tuple[float, ...]
    num_rows: int
    """The positions."""


@torch.inference_mode()
def path_divergences(
    model: PreTrainedModel,
    path: LayerPath,
    candidates: Sequence[Bridges | None],
    sequences: Sequence[TokenSequence],
) -> PathDivergences:
    """Compare a path with the full model on texts.

    Args:
        model: the model without bridges.
        path: the layers that run.
        candidates: sets of bridges; ``None``: the path alone.
        sequences: the texts.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    total_C = torch.zeros(len(candidates), dtype=torch.float64)
    num_rows = 0
    for batch in batches_of(sequences):
        full_ND, *found = _final_states(model, path, candidates, sequences[batch])
        total_C += candidate_divergences(model, full_ND, found) * len(full_ND)
        num_rows += len(full_ND)
    return PathDivergences(mean_C=tuple((total_C / max(1, num_rows)).tolist()), num_rows=num_rows)


def mean_divergences(
    model: PreTrainedModel,
    paths: Sequence[LayerPath],
    candidates: Sequence[Bridges | None],
    sequences: Sequence[TokenSequence],
) -> list[float]:
    """KL(full model || path) in nats with each set of bridges, in the mean over some paths."""
    found = [path_divergences(model, path, candidates, sequences).mean_C for path in paths]
    return [sum(of_paths) / len(paths) for of_paths in zip(*found, strict=True)]


def trunk_of(
    model: PreTrainedModel, path: LayerPath, batch: PaddedSequences
) -> tuple[LayerwisePass, int]:
    """A pass along what a path and the full model share, and how many layers that is."""
    shared = 0
    while path.layers[shared : shared + 1] == (shared,):
        shared += 1
    trunk = LayerwisePass(model, batch.ids_BT, batch.mask_BT, batch.layout)
    for layer in range(shared):
        trunk.step(layer)
    return trunk, shared


def final_states(
    trunk: LayerwisePass, bridges: Bridges | None, layers: Sequence[int], counts_BT: Tensor
) -> Tensor:
    """What the final norm reads ``[N, D]`` where a pass goes on along some layers."""
    one = trunk.fork(bridges)
    for layer in layers:
        one.step(layer)
    return one.final_states[counts_BT]


def _final_states(
    model: PreTrainedModel,
    path: LayerPath,
    candidates: Sequence[Bridges | None],
    sequences: Sequence[TokenSequence],
) -> list[Tensor]:
    """What the final norm reads ``[N, D]``: in the full model, and along the path."""
    batch = padded(sequences, model.device)
    trunk, shared = trunk_of(model, path, batch)
    rest = range(shared, len(model.model.layers))
    full_ND = final_states(trunk, None, rest, batch.counts_BT)
    return [full_ND] + [
        final_states(trunk, bridges, path.layers[shared:], batch.counts_BT)
        for bridges in candidates
    ]
