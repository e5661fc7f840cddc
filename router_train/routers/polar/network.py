"""The network of the segment router, after PoLar (arXiv 2606.06574).

Queries of layers attend to a prompt's tokens.

For each layer it says whether a segment starts there and what the segment does. Tokens are states
of the frozen model's own early layers, so there is no second encoder. It knows nothing about
prompts, paths and training.

Shapes: N examples, T tokens (padded), D model width, H hidden width, M layers that are decided, C =
3 operations.
"""

import torch
from torch import Tensor, nn

from router_train.data.labels import NUM_DECISIONS

NUM_HEADS = 4


class PolarNetwork(nn.Module):
    """A network of layer queries, cross-attention to tokens and self-attention between layers.

    Args:
        num_decided: the number of layers that are decided, M.
        width: the width of the frozen model, D.
        hidden: the hidden width H, a multiple of 4.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, num_decided: int, width: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.project = nn.Linear(width, hidden)
        self.queries = nn.Parameter(torch.randn(num_decided, hidden) * 0.02)
        self.to_tokens = nn.MultiheadAttention(hidden, NUM_HEADS, batch_first=True)
        self.between_layers = nn.MultiheadAttention(hidden, NUM_HEADS, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(3)])
        self.start_head = nn.Linear(hidden, 1)
        self.operation_head = nn.Linear(hidden, NUM_DECISIONS)

    def forward(self, tokens_NTD: Tensor, padding_NT: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of segment starts ``[N, M]`` and of what a segment does ``[N, M, C]``.

        Args:
            tokens_NTD: the states of the tokens.
            padding_NT: whether there is no token.
        """
        tokens_NTH = self.norms[0](self.project((tokens_NTD.float() - self.mean) / self.scale))
        layers_NMH = self.queries.expand(len(tokens_NTD), -1, -1)
        read, _ = self.to_tokens(
            layers_NMH, tokens_NTH, tokens_NTH, key_padding_mask=padding_NT, need_weights=False
        )
        layers_NMH = self.norms[1](layers_NMH + read)
        told, _ = self.between_layers(layers_NMH, layers_NMH, layers_NMH, need_weights=False)
        layers_NMH = self.norms[2](layers_NMH + told)
        return self.start_head(layers_NMH).squeeze(-1), self.operation_head(layers_NMH)
