"""A lens: from an intermediate state to the logits that the model would give there.

The logit lens reads a state through the final norm and the head alone. A tuned lens (Belrose et
al., arXiv 2303.08112) first adds what an affine translator of that depth says:
``logits = head(norm(h + W h + b))``. A translator of zeros is the logit lens.

A state's *depth* is its place in the plain model: depth 0 is the embedding, depth i the state after
layer i - 1, that is before layer i. Along other paths, the state after layer l has depth l + 1,
wherever the layer runs. The last depth is what the model itself reads; it has no translator.

Shapes: L layers of the plain model, D width, V vocabulary; ``...`` any leading shape.
"""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.head import float32_logits


class LensKind(StrEnum):
    """How the translators of a lens were found."""

    LOGIT = "logit"
    """There are none."""
    RIDGE = "ridge"
    """In closed form: ridge regression from the state to the final one (Din et al., 2303.09435)."""
    KL = "kl"
    """By descent on the divergence from the final prediction (Belrose et al., equation 5)."""
    CE = "ce"
    """By descent on the cross-entropy of the true next token."""
    BIAS = "bias"
    """As `KL`, with a bias alone."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lens:
    """The translators of one model, and how they were found.

    Raises:
        InvalidValueError: the shapes do not fit together.
    """

    kind: LensKind
    weight_LDD: Tensor
    """Float32; row ``i`` is the translator of depth ``i``: it adds ``h @ weight.T + bias``."""
    bias_LD: Tensor
    """Float32."""

    def __post_init__(self) -> None:
        num_layers, width = self.bias_LD.shape
        if self.weight_LDD.shape != (num_layers, width, width):
            raise InvalidValueError(
                f"translators have weights {tuple(self.weight_LDD.shape)} and biases "
                f"{tuple(self.bias_LD.shape)}; they are [L, D, D] and [L, D]"
            )

    @classmethod
    def logit(cls, model: PreTrainedModel) -> "Lens":
        """The logit lens of a model: translators of zeros, which take no memory."""
        num_layers, width = len(model.model.layers), int(model.config.hidden_size)
        zero = torch.zeros(())
        return cls(
            kind=LensKind.LOGIT,
            weight_LDD=zero.expand(num_layers, width, width),
            bias_LD=zero.expand(num_layers, width),
        )

    @property
    def num_layers(self) -> int:
        """The number of layers of the plain model, and of translators."""
        return self.bias_LD.shape[0]

    def translate(self, hidden_D: Tensor, depth: int) -> Tensor:
        """The state ``[..., D]`` that stands for the final one, in the dtype of ``hidden_D``.

        Sums are formed in float32, so that a translator of zeros changes no bit in any dtype.

        Args:
            hidden_D: states ``[..., D]`` of that depth.
            depth: 0, ..., L; at L states are as they are.

        Raises:
            InvalidValueError: the model has no such depth.
        """
        if not 0 <= depth <= self.num_layers:
            raise InvalidValueError(
                f"depth {depth} was asked for; a model of {self.num_layers} layers has depths "
                f"0..{self.num_layers}"
            )
        if depth == self.num_layers or self.kind is LensKind.LOGIT:
            return hidden_D
        wide_D = hidden_D.float()
        added_D = torch.nn.functional.linear(
            wide_D, self.weight_LDD[depth].to(wide_D), self.bias_LD[depth].to(wide_D)
        )
        return (wide_D + added_D).to(hidden_D.dtype)

    def logits(self, model: PreTrainedModel, hidden_D: Tensor, depth: int) -> Tensor:
        """Float32 logits ``[..., V]`` of states ``[..., D]`` of a depth, soft cap included."""
        return float32_logits(model, model.model.norm(self.translate(hidden_D, depth)))
