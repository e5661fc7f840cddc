"""The states that prompts pass through along a layer path, and how prompts share a pass.

Shapes: B sequences, T tokens, D width, S layers of the path.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidPathError
from search_cluster.model.layerwise import BranchLayout, LayerwisePass
from search_cluster.paths.layer_path import LayerPath


def depths_of(path: LayerPath) -> tuple[int, ...]:
    """The depths of the S + 1 states along a path: 0, then ``l + 1`` after each layer ``l``.

    A lens reads the state after layer l with the translator of depth l + 1. (Published scripts read
    it with that of depth l, one off.)
    """
    return (0, *(layer + 1 for layer in path.layers))


def walk_states(
    model: PreTrainedModel,
    input_ids_BT: Tensor,
    path: LayerPath,
    attention_mask_BT: Tensor | None = None,
    layout: BranchLayout | None = None,
) -> Iterator[Tensor]:
    """The state before the first layer of a path, and after each: S + 1 tensors ``[B, T, D]``.

    They are computed as they are asked for, and none is changed later. States at padding are
    meaningless.

    Args:
        model: a causal LM of a supported family (plain, not a materialised path).
        input_ids_BT: the token ids, padded on either side.
        path: the layers that run.
        attention_mask_BT: 1 for tokens, 0 for padding; ``None`` if nothing is padded.
        layout: of rows that hold several texts each; ``None``: each is one.

    Raises:
        InvalidPathError: the path belongs to a model of another depth.
    """
    depth = len(model.model.layers)
    if path.num_layers != depth:
        raise InvalidPathError(
            f"path {path} is for a model of {path.num_layers} layers; this model has {depth}"
        )
    prompt_pass = LayerwisePass(model, input_ids_BT, attention_mask_BT, layout)
    yield prompt_pass.hidden_BTD
    for layer in path.layers:
        prompt_pass.step(layer)
        yield prompt_pass.hidden_BTD


def pass_slices(lengths: Sequence[int], most_tokens: int) -> Iterator[slice]:
    """Which neighbours share a pass, in their order; it depends on their lengths alone.

    Args:
        lengths: of the sequences, in tokens.
        most_tokens: the number of tokens of a pass at most, padding included, unless one sequence
            has more.
    """
    first = longest = 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        if index > first and longest * (index - first + 1) > most_tokens:
            yield slice(first, index)
            first, longest = index, length
    if lengths:
        yield slice(first, len(lengths))


def pad_right(
    sequences: Sequence[Sequence[int]], device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Token ids ``[B, T]`` and mask ``[B, T]``; no mask if nothing is padded.

    Padding is a token of the sequence: nothing looks at it, but a NaN in the embedding of a token
    that no sequence holds would spread (0 times NaN is NaN).
    """
    ids_BT = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for row, ids in enumerate(sequences):
        ids_BT[row] = ids[-1]
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        mask_BT[row, : len(ids)] = 1
    return ids_BT.to(device), None if bool(mask_BT.all()) else mask_BT.to(device)
