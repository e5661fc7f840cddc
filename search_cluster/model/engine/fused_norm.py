"""Root-mean-square norms in one to three operations of torch.

Families write theirs as six to eight operations with a tensor each. On a CPU these took 7 % of the
time of a layer's matrix products; one operation takes a third of it.

Shapes: N rows, D width.
"""

import torch
from torch import Tensor, nn

TOLERANCE = 1e-5
"""How far a norm may be from torch's, relative to values of about 1, and still count as the same.

What is allowed for is rounding alone."""
MAX_ROUNDED_OTHERWISE = 0.02
"""The share of a 16-bit norm's values that may be rounded to the neighbour of the family's."""


class FusedNorm(nn.Module):
    """The norm ``weight * x / sqrt(mean(x ** 2) + eps)``, rounded once; it shares the weight."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """The norm over the last dimension, of any shape in front of it."""
        return nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


class TwiceRoundedNorm(FusedNorm):
    """The norm of families that round to 16 bits before they multiply by the weight, too."""

    def forward(self, hidden: Tensor) -> Tensor:
        """The norm over the last dimension, of any shape in front of it."""
        return self.weight * nn.functional.rms_norm(hidden, self.weight.shape, None, self.eps)


class ShiftedNorm(FusedNorm):
    """The norm of families whose weights are held less 1, rounded once; it has a float32 copy.

    Their own mean is taken in another order in calls of few rows on a GPU.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__(1.0 + weight.float(), eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """The norm over the last dimension, of any shape in front of it."""
        normed = nn.functional.rms_norm(hidden.float(), self.weight.shape, self.weight, self.eps)
        return normed.to(hidden.dtype)


@torch.inference_mode()
def fused(module: nn.Module) -> FusedNorm | None:
    """The module as a few operations, or ``None`` if it is no such norm.

    Whether it is one is told by its values, since each family names its norm differently.
    """
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = getattr(module, "weight", None)
    if not isinstance(eps, float) or not isinstance(weight, Tensor) or weight.dim() != 1:
        return None
    if next(module.children(), None) is not None or weight.device.type == "meta":
        return None
    sample_ND = torch.linspace(-2.0, 3.0, 3 * len(weight)).reshape(3, -1).to(weight)
    for kind in (FusedNorm, TwiceRoundedNorm, ShiftedNorm):
        candidate = kind(weight, eps)
        if _same(module(sample_ND), candidate(sample_ND)):
            return candidate
    return None


def _same(theirs_ND: Tensor, ours_ND: Tensor) -> bool:
    if theirs_ND.dtype is torch.float32:
        return torch.allclose(theirs_ND, ours_ND, rtol=TOLERANCE, atol=TOLERANCE)
    # Two sums of the same numbers may round to neighbours now and then. A rounding that a family
    # does not do, or does elsewhere, shows in far more values.
    apart = (theirs_ND != ours_ND).float().mean()
    near = torch.allclose(theirs_ND, ours_ND, rtol=torch.finfo(ours_ND.dtype).eps, atol=TOLERANCE)
    return near and float(apart) <= MAX_ROUNDED_OTHERWISE
