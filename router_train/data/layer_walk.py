"""A pass over a prompt whose caller decides, layer by layer, how often each layer runs.

Training (teacher forcing) and inference share this pass, so that a router sees the same states in
both.

Shapes: T tokens, W windows, D model width.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loaded import LoadedModel


def pool_windows(hidden_TD: Tensor, num_windows: int) -> Tensor:
    """The means of ``num_windows`` contiguous windows over the tokens.

    Each token is in at least one window.

    Window w holds the tokens from ``floor(w T / W)`` up to ``floor((w + 1) T / W)``, and at least
    one: sizes differ by one at most, no token at the end is dropped, and a prompt shorter than W
    fills several windows with one token.

    Returns:
        ``[W, D]`` in float32.
    """
    num_tokens = hidden_TD.shape[0]
    bounds = [window * num_tokens // num_windows for window in range(num_windows + 1)]
    windows = [
        hidden_TD[start : max(stop, start + 1)].float().mean(dim=0)
        for start, stop in pairwise(bounds)
    ]
    return torch.stack(windows)


def walk_layers(
    loaded: LoadedModel,
    context_ids: Sequence[int],
    num_windows: int,
    decide: Callable[[int, Tensor], int],
) -> tuple[int, ...]:
    """Run one prompt through the layers as ``decide(layer, windows_WD)`` says.

    The answer of ``decide`` is how often the next layer runs.

    The windows given to ``decide`` pool the states that the layer would read: those left by the
    layers that ran before.

    Returns:
        The decisions, one per layer.
    """
    with torch.inference_mode():
        prompt_pass = LayerwisePass(
            loaded.model, torch.tensor([list(context_ids)], device=loaded.model.device)
        )
        decisions: list[int] = []
        for layer in range(loaded.num_layers):
            decisions.append(decide(layer, pool_windows(prompt_pass.hidden_BTD[0], num_windows)))
            for _ in range(decisions[-1]):
                prompt_pass.step(layer)
        return tuple(decisions)
