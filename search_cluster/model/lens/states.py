"""The states that a prompt passes through along a layer path.

Shapes: B sequences, T tokens, D width, S layers of the path.
"""

from collections.abc import Iterator

from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidPathError
from search_cluster.model.layerwise import LayerwisePass
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
) -> Iterator[Tensor]:
    """The state before the first layer of a path, and after each: S + 1 tensors ``[B, T, D]``.

    They are computed as they are asked for, and none is changed later. States at padding are
    meaningless.

    Args:
        model: a causal LM of a supported family (plain, not a materialised path).
        input_ids_BT: the token ids, padded on either side.
        path: the layers that run.
        attention_mask_BT: 1 for tokens, 0 for padding; ``None`` if nothing is padded.

    Raises:
        InvalidPathError: the path belongs to a model of another depth.
    """
    depth = len(model.model.layers)
    if path.num_layers != depth:
        raise InvalidPathError(
            f"path {path} is for a model of {path.num_layers} layers; this model has {depth}"
        )
    prompt_pass = LayerwisePass(model, input_ids_BT, attention_mask_BT)
    yield prompt_pass.hidden_BTD
    for layer in path.layers:
        prompt_pass.step(layer)
        yield prompt_pass.hidden_BTD
