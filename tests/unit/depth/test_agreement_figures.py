"""Figures of our own against the library's, which is slower."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from search_cluster.depth.prediction import _auc
from search_cluster.depth.verdicts import _kappa


@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_auc_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 3, size=(2, 50))
    wanted = cohen_kappa_score(one, other, labels=[0, 1, 2], weights="linear")
    assert _kappa(one, other) == pytest.approx(wanted)
    happened, score = rng.random(50) < 0.4, np.round(rng.normal(size=50), 1)
    assert _auc(happened, score) == pytest.approx(roc_auc_score(happened, score))
