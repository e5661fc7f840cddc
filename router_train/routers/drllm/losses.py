"""The focal loss and its class weights.

Shapes: N examples, L layers, C = 3 decisions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def effective_number_weights(class_counts: Sequence[int], beta: float) -> Tensor:
    """Class weights ``(1 - beta) / (1 - beta^n)``.

    They are scaled so that they sum to the number of classes that occur.

    This is the class-balanced loss (Cui et al., arXiv 1901.05555, eq. 3), as Dr.LLM uses it with
    beta = 0.999. Mind the scale: the effective number saturates at ``1 / (1 - beta)`` = 1,000, so
    classes that all come thousands of times have nearly equal weights, and rare decisions are then
    lifted by the focal term alone; from a few dozen examples the weights are far apart, and the
    router skips and repeats much more often than its labels do.

    Args:
        class_counts: how often each class occurs. Shape ``[C]``.
        beta: in [0, 1); 0 weighs all classes alike.

    Returns:
        Weights ``[C]``, float32; 0 for a class that does not occur.
    """
    weights = torch.tensor(
        [(1 - beta) / (1 - beta**count) if count else 0.0 for count in class_counts]
    )
    num_present = sum(1 for count in class_counts if count)
    return weights * (num_present / weights.sum()) if num_present else weights


def inverse_frequency_weights(class_counts: Sequence[int]) -> Tensor:
    """Class weights ``1 / n``, with which every class counts alike.

    They are scaled so that they sum to the number of classes that occur.

    Args:
        class_counts: how often each class occurs. Shape ``[C]``.

    Returns:
        Weights ``[C]``, float32; 0 for a class that does not occur.
    """
    weights = torch.tensor([1.0 / count if count else 0.0 for count in class_counts])
    num_present = sum(1 for count in class_counts if count)
    return weights * (num_present / weights.sum()) if num_present else weights


def focal_loss(logits_NLC: Tensor, decisions_NL: Tensor, weights_C: Tensor, gamma: float) -> Tensor:
    """The mean over examples and layers of ``-weight * (1 - p)^gamma * log p``.

    Here p is the label's probability.

    This is the focal loss (Lin et al., arXiv 1708.02002, eq. 5).

    Args:
        logits_NLC: the logits of the decisions.
        decisions_NL: the labels.
        weights_C: class weights.
        gamma: 0 (cross-entropy), or at least 1. In between, the gradient of a certain answer is
            infinite.

    Returns:
        A scalar.
    """
    log_probs_NL = (
        functional.log_softmax(logits_NLC, dim=-1)
        .gather(-1, decisions_NL.unsqueeze(-1))
        .squeeze(-1)
    )
    return (-weights_C[decisions_NL] * (-torch.expm1(log_probs_NL)) ** gamma * log_probs_NL).mean()
