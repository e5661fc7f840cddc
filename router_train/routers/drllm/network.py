"""The networks of Dr.LLM (arXiv 2510.12773, section 3), one for each layer.

Each is Linear-GELU-Linear over pooled prompt states.

They know nothing about prompts, labels and training.

Shapes: N examples, L layers, W windows, D model width, C = 3 decisions.
"""

import torch
from torch import Tensor, nn

from router_train.data.labels import NUM_DECISIONS


class LayerRouter(nn.Module):
    """A network that decides for one layer.

    Each window goes through Linear(D, bottleneck), GELU and Linear(bottleneck, 3), and the results
    are averaged over windows.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, bottleneck)
        self.outer = nn.Linear(bottleneck, NUM_DECISIONS)
        self.activation = nn.GELU(approximate="tanh")
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, windows_NWD: Tensor) -> Tensor:
        """Logits ``[N, C]`` from windows ``[N, W, D]``."""
        standardised = (windows_NWD.float() - self.mean) / self.scale
        logits: Tensor = self.outer(self.activation(self.inner(standardised))).mean(dim=1)
        return logits


class LayerRouters(nn.Module):
    """One `LayerRouter` per layer."""

    def __init__(self, num_layers: int, width: int, bottleneck: int) -> None:
        super().__init__()
        self.width, self.bottleneck = width, bottleneck
        self.layers = nn.ModuleList([LayerRouter(width, bottleneck) for _ in range(num_layers)])

    def forward(self, windows_NLWD: Tensor) -> Tensor:
        """Logits ``[N, L, C]`` from windows ``[N, L, W, D]``."""
        return torch.stack(
            [router(windows_NLWD[:, layer]) for layer, router in enumerate(self.layers)], dim=1
        )

    def standardise(self, windows_NLWD: Tensor) -> None:
        """Make each router's inputs have mean 0 and deviation 1 over these windows.

        This holds for each entry of D.

        Entries that hardly vary keep a scale of a thousandth of the layer's typical deviation at
        least, so that rounding noise is not blown up into a feature.
        """
        for layer, router in enumerate(self.layers):
            assert isinstance(router, LayerRouter)
            flat = windows_NLWD[:, layer].float().flatten(end_dim=1)
            deviation = flat.std(dim=0, correction=0)
            floor = max(1e-3 * float(deviation.median()), 1e-6)
            router.mean.copy_(flat.mean(dim=0))
            router.scale.copy_(deviation.clamp(min=floor))
