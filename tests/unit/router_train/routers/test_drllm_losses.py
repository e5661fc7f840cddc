import math

import pytest
import torch
from torch.nn import functional

from router_train.routers.drllm.losses import (
    effective_number_weights,
    focal_loss,
    inverse_frequency_weights,
)


def test_effective_number_weights_by_hand() -> None:
    # beta 0.5: (1 - 0.5) / (1 - 0.5^n) is 1 for n = 1, 2/3 for n = 2, 4/7 for n = 3; scaled to sum
    # to 3.
    total = 1 + 2 / 3 + 4 / 7
    expected = torch.tensor([3 / total, 3 * (2 / 3) / total, 3 * (4 / 7) / total])
    torch.testing.assert_close(effective_number_weights((1, 2, 3), beta=0.5), expected)


def test_a_class_that_never_occurs_weighs_nothing() -> None:
    torch.testing.assert_close(
        effective_number_weights((0, 2, 2), beta=0.999), torch.tensor([0.0, 1.0, 1.0])
    )
    torch.testing.assert_close(effective_number_weights((0, 0, 0), beta=0.999), torch.zeros(3))


def test_weights_of_thousands_are_close_to_none() -> None:
    weights = effective_number_weights((4_000, 90_000, 6_000), beta=0.999)
    assert weights.max() / weights.min() < 1.02
    few = effective_number_weights((40, 900, 60), beta=0.999)
    assert few[0] / few[1] == pytest.approx((1 - 0.999**900) / (1 - 0.999**40), rel=1e-4)


def test_focal_loss_by_hand() -> None:
    # p(label) is 0.5 with weight 2, then 0.25 with weight 1: -2 * 0.5^2 ln 0.5 and -1 * 0.75^2 ln
    # 0.25.
    logits = torch.tensor([[[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]]).log()
    loss = focal_loss(logits, torch.tensor([[0, 1]]), torch.tensor([2.0, 1.0, 1.0]), gamma=2.0)
    assert float(loss) == pytest.approx((-2 * 0.25 * math.log(0.5) - 0.5625 * math.log(0.25)) / 2)


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 3, (5, 4), generator=torch.Generator().manual_seed(1))
    expected = functional.cross_entropy(logits.flatten(end_dim=1), labels.flatten())
    torch.testing.assert_close(focal_loss(logits, labels, torch.ones(3), gamma=0.0), expected)


def test_focal_loss_of_a_certain_answer_has_a_finite_gradient() -> None:
    logits = torch.tensor([[[200.0, 0.0, 0.0]]], requires_grad=True)
    torch.autograd.backward(focal_loss(logits, torch.tensor([[0]]), torch.ones(3), gamma=1.0))
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_inverse_frequency_gives_every_class_the_same_say() -> None:
    counts = (30_000, 200, 0)
    weights = inverse_frequency_weights(counts)
    assert float(weights[0] * 30_000) == pytest.approx(float(weights[1] * 200))
    assert float(weights.sum()) == pytest.approx(2.0)
    assert float(weights[2]) == 0.0
    published = effective_number_weights(counts, 0.999)
    assert float(weights[1] / weights[0]) == pytest.approx(150.0)
    assert float(published[1] / published[0]) < 6
