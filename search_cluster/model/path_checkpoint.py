"""A layer path as a model of its own, for which nothing of ours is needed.

Skipped layers are gone, and repeated ones are copied. Unlike `materialise` it owns its weights, so
it can be saved, trained and loaded by whatever loads the family.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.bridge.bridges import bridges_of
from search_cluster.model.load.selftest import NUM_PROBE_TOKENS, RELATIVE_TOLERANCE
from search_cluster.model.materialise import materialise, path_config
from search_cluster.paths.jumps import steps_of
from search_cluster.paths.layer_path import LayerPath

LAYER_PREFIX = "model.layers."


def path_checkpoint(model: PreTrainedModel, path: LayerPath) -> PreTrainedModel:
    """An ordinary model of the family with the path as its layers, on the CPU.

    It is checked against the materialised path, and takes memory for all weights of the path.

    Args:
        model: a causal LM of a supported family, not itself a view.
        path: a path of this model's depth.

    Raises:
        InvalidPathError: the path belongs to a model of another depth.
        ModelError: the family's configuration can't express the path, or the path crosses bridges.
    """
    bridges = bridges_of(model)
    if bridges is not None and bridges.crossed(steps_of(path)):
        raise _inexpressible(
            model,
            path,
            f"it crosses {bridges.crossed(steps_of(path))} bridges, which no plain model has",
        )
    view = materialise(model, path)
    config = own_config(model.config, path)
    own: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, dtype=model.dtype, attn_implementation=anatomy_of(config).attention_kernel
    )
    try:
        own.load_state_dict(_own_weights(model, path))
    except RuntimeError as error:
        raise _inexpressible(model, path, str(error).splitlines()[0]) from error
    own.generation_config = copy.deepcopy(model.generation_config)
    cast(nn.Module, own).eval().requires_grad_(False)
    gap = _relative_gap(own, view)
    if not gap <= RELATIVE_TOLERANCE[model.dtype]:
        raise _inexpressible(model, path, f"its logits would be off by {gap:.2g}")
    return own


def own_config(config: PreTrainedConfig, path: LayerPath) -> PreTrainedConfig:
    """The configuration of a path as a model of its own.

    What it says of a layer stands where the layer gets to.
    """
    own = path_config(config, path)
    rope = getattr(config, "no_rope_layers", None)
    if rope is not None:
        own.no_rope_layers = [rope[layer] for layer in path.layers]
    dense = getattr(config, "mlp_only_layers", None)
    if dense is not None:
        step = config.decoder_sparse_step
        own.mlp_only_layers = [
            position
            for position, layer in enumerate(path.layers)
            if layer in dense or (layer + 1) % step
        ]
        own.decoder_sparse_step = 1
    return own


def _own_weights(model: PreTrainedModel, path: LayerPath) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith(LAYER_PREFIX):
            weights[name] = tensor
            continue
        layer, _, rest = name.removeprefix(LAYER_PREFIX).partition(".")
        for position, used in enumerate(path.layers):
            if used == int(layer):
                weights[f"{LAYER_PREFIX}{position}.{rest}"] = tensor
    return weights


@torch.inference_mode()
def _relative_gap(own: PreTrainedModel, view: PreTrainedModel) -> float:
    tokens_BT = torch.arange(1, 4 * NUM_PROBE_TOKENS + 1)[None] % view.config.vocab_size
    expected = cast(Tensor, view(tokens_BT.to(view.device), use_cache=False).logits).float().cpu()
    logits = cast(Tensor, own(tokens_BT, use_cache=False).logits).float()
    return float((logits - expected).abs().max() / expected.abs().max().clamp(min=1.0))


def _inexpressible(model: PreTrainedModel, path: LayerPath, reason: str) -> ModelError:
    return ModelError(
        f"path {path} can't be a plain {model.config.model_type} checkpoint ({reason}); export it "
        "as a routed model"
    )
