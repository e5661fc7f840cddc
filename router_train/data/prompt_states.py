"""What a router reads of a prompt before it chooses.

These are the states after the first layers of the plain model.

Shapes: T tokens, W windows, D model width, F = (W + 1) D features, N examples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from router_train.data.layer_walk import pool_windows
from search_cluster.console import track
from search_cluster.errors import ConfigError
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task


def pool_states(hidden_TD: Tensor, num_windows: int) -> Tensor:
    """Features ``[F]`` of a prompt's states: the means of its windows, then its last token.

    They are float32 and in main memory.
    """
    return torch.cat([pool_windows(hidden_TD, num_windows).flatten(), hidden_TD[-1].float()]).cpu()


def prompt_states(loaded: LoadedModel, context_ids: Sequence[int], num_layers_read: int) -> Tensor:
    """States ``[T, D]`` of a prompt after the first layers of the plain model.

    After 0 layers they are its embeddings.
    """
    with torch.no_grad():
        prompt_pass = LayerwisePass(
            loaded.model, torch.tensor([list(context_ids)], device=loaded.model.device)
        )
        for layer in range(num_layers_read):
            prompt_pass.step(layer)
        return prompt_pass.hidden_BTD[0]


def prompt_features(
    loaded: LoadedModel, context_ids: Sequence[int], num_layers_read: int, num_windows: int
) -> Tensor:
    """Features ``[F]`` of a prompt after the first layers of the plain model."""
    return pool_states(prompt_states(loaded, context_ids, num_layers_read), num_windows)


def features_of(
    loaded: LoadedModel,
    task: Task,
    examples: Sequence[Example],
    *,
    num_layers_read: int,
    num_windows: int,
) -> Tensor:
    """Features ``[N, F]`` of examples' prompts; choices and gold answers are not looked at.

    Raises:
        ConfigError: the model has fewer layers, or gives states that are not finite.
        PromptTooLongError: a prompt does not fit into the model's context.
    """
    if num_layers_read > loaded.num_layers:
        raise ConfigError(
            f"feature_layer is {num_layers_read}; the model has {loaded.num_layers} layers: read "
            "as many at most"
        )
    rows = [
        prompt_features(
            loaded, encode_example(loaded, task, example).context_ids, num_layers_read, num_windows
        )
        for example in track(examples, "prompt states")
    ]
    features_NF = torch.stack(rows)
    if not bool(features_NF.isfinite().all()):
        raise ConfigError(
            "a prompt state is not finite; check that the model gives finite states in its dtype"
        )
    return features_NF
