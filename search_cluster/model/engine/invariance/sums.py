"""Sums whose order does not depend on the call."""

import torch
from torch import Tensor


def sum_in_pairs(values: Tensor, dim: int) -> Tensor:
    """The sum over a dimension, which is taken away, by elementwise additions of two at a time.

    What torch's own sum adds first may depend on the number of rows.
    """
    while (size := values.shape[dim]) > 1:
        half = size // 2
        pairs = values.narrow(dim, 0, half) + values.narrow(dim, half, half)
        odd = values.narrow(dim, 2 * half, size % 2)
        values = torch.cat((pairs, odd), dim=dim) if size % 2 else pairs
    return values.select(dim, 0)
