"""A layer path as an ordinary Hugging Face causal LM that shares all weights with the plain model.

Replacing ``model.layers`` alone would be silently wrong: families cut a list that is longer than
``config.num_hidden_layers``, look masks up by position in ``config.layer_types``, and give both
copies of a repeated layer the same KV-cache slot. So every *position* of the path gets its own
shallow copy with its own slot. Where the model has a bridge for a jump of the path, the layer (or
the final norm) behind the jump crosses it first; a shortcut reads the layers at their positions.
"""

import copy
from typing import TypeVar

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from search_cluster.errors import InvalidPathError, ModelError
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.bridge.bridges import ATTRIBUTE, Bridges, bridges_of
from search_cluster.model.shortcut.path_reader import PathReader
from search_cluster.model.shortcut.shortcut import ATTRIBUTE as SHORTCUT
from search_cluster.model.shortcut.shortcut import shortcuts_of
from search_cluster.paths.jumps import steps_of
from search_cluster.paths.layer_path import LayerPath

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def materialise(model: PreTrainedModel, path: LayerPath) -> PreTrainedModel:
    """The model that runs ``path``: forward, KV cache and ``generate()`` work as on any causal LM.

    No weight is copied and ``model`` is not changed; building it costs a few milliseconds. The view
    is for reading: training it, moving it to a device or saving it is the plain model's business.

    Args:
        model: a causal LM of a supported family, not itself a view.
        path: a path of this model's depth, of any length.

    Raises:
        InvalidPathError: the path belongs to a model of another depth.
        UnsupportedFamilyError: the model's family has no anatomy entry.
        ModelError: something has wrapped the forward of the model's layers.
    """
    anatomy_of(model.config)
    depth = len(model.model.layers)
    if path.num_layers != depth:
        raise InvalidPathError(
            f"path {path} is for a model of {path.num_layers} layers; this model has {depth}: "
            f"build the path with num_layers={depth}"
        )
    view = shallow_copy(model)
    view.config = path_config(model.config, path)
    view.model = shallow_copy(model.model)
    view.model.config = view.config
    view.model.layers = nn.ModuleList(
        _layer_at(model.model.layers[layer], position) for position, layer in enumerate(path.layers)
    )
    bridges, shortcuts = bridges_of(model), shortcuts_of(model)
    if bridges is not None:
        _build_in(view, path, bridges)
    if shortcuts:
        view.model.norm = shallow_copy(view.model.norm)
        PathReader(shortcuts).hook_up(path.layers, list(view.model.layers), view.model.norm)
        delattr(view.model, SHORTCUT)
    return view


def _build_in(view: PreTrainedModel, path: LayerPath, bridges: Bridges) -> None:
    """Let states cross the bridges of a path; the view's numbers of layers are positions."""
    view.model.norm = shallow_copy(view.model.norm)
    behind = (*view.model.layers, view.model.norm)
    for step, module in zip(steps_of(path), behind, strict=True):
        bridge = bridges.at(*step)
        if bridge is not None:
            module.register_forward_pre_hook(bridge.enter)
    delattr(view.model, ATTRIBUTE)


def path_config(config: PreTrainedConfig, path: LayerPath) -> PreTrainedConfig:
    """A copy of a configuration with the depth and the layer types of a path.

    Whatever else it says per layer stays.
    """
    of_path = copy.deepcopy(config)
    of_path.num_hidden_layers = len(path)
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None:
        of_path.layer_types = [layer_types[layer] for layer in path.layers]
    return of_path


def _layer_at(layer: nn.Module, position: int) -> nn.Module:
    """A copy of a decoder layer whose attention writes to KV-cache slot ``position``."""
    if "forward" in vars(layer) or "forward" in vars(layer.self_attn):
        raise ModelError(
            f"the forward of {type(layer).__name__} is wrapped (device maps and off-loading do "
            "that), which a shallow copy can't follow; load the whole model on one device"
        )
    placed = shallow_copy(layer)
    attention: nn.Module = layer.self_attn  # type: ignore[assignment]
    placed.self_attn = shallow_copy(attention)
    for module in (placed, placed.self_attn):
        if hasattr(module, "layer_idx"):
            vars(module)["layer_idx"] = position
    return placed


def shallow_copy(module: ModuleT) -> ModuleT:
    """A module with the same parameters and children.

    Its registries can be changed without changing ``module``.
    """
    twin = copy.copy(module)
    for name, value in vars(module).items():
        if isinstance(value, dict):
            vars(twin)[name] = copy.copy(value)
    return twin
