import numpy as np
import pytest
import torch

from search_cluster.commands.lens.figures import cut_interval, figures_of
from search_cluster.model.lens.judged import LensFigures

NAN = float("nan")


def judged(tuned: list[list[float]], logit: list[list[float]]) -> LensFigures:
    number, depths = len(tuned), len(tuned[0])
    sums = torch.full((number, 4, depths), NAN, dtype=torch.float64)
    sums[:, 0], sums[:, 1] = torch.tensor(tuned), torch.tensor(logit)
    sums[:, 2, 1:] = sums[:, 0, 1:] + 10.0
    sums[:, 3, :-2] = sums[:, 0, :-2] - 0.5
    return LensFigures(
        divergence_GWS=sums,
        agreement_GWS=sums / 100,
        num_rows_G=torch.full((number,), 10),
    )


def test_means_are_over_rows_and_the_last_depth_has_no_cut() -> None:
    figures = figures_of(judged([[10, 20, 0], [30, 20, 0]], [[40, 80, 0], [40, 80, 0]]))
    assert figures["held_out_tokens"] == 20
    assert figures["divergence"] == [2.0, 2.0, 0.0]
    assert figures["divergence_logit"] == [4.0, 8.0, 0.0]
    assert figures["mean_cut"] == pytest.approx((0.5 + 0.75) / 2)
    assert figures["divergence_one_off"]["before"] == [None, 3.0, 1.0]
    assert figures["divergence_one_off"]["after"] == [pytest.approx(1.95), None, None]
    assert figures["depths_worse_before"] == 2
    assert figures["depths_worse_after"] == 0
    assert figures["depths_lower_than_logit"] == 2
    assert figures["depths_top1_higher"] == 0


def test_an_interval_holds_the_cut_and_narrows_with_groups() -> None:
    rng = np.random.default_rng(0)
    logit = rng.uniform(5, 10, (100, 4))
    tuned = logit * rng.uniform(0.2, 0.4, (100, 4))
    low, high = cut_interval(tuned, logit)
    assert low is not None
    assert high is not None
    assert low < 1 - (tuned.sum(0) / logit.sum(0)).mean() < high
    few_low, few_high = cut_interval(tuned[:8], logit[:8])
    assert few_low is not None
    assert few_high is not None
    assert few_high - few_low > high - low
    assert cut_interval(tuned[:1], logit[:1]) == (None, None)
