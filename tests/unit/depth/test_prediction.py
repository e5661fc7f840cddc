import numpy as np

from search_cluster.depth.prediction import BASELINE, folds_of, predict_fate


def fate(num: int, strength: float) -> dict[str, object]:
    rng = np.random.default_rng(0)
    depth_Q = rng.normal(size=num)
    happened_Q = strength * depth_Q + rng.normal(size=num) > 0
    features = {BASELINE: rng.normal(size=num), "lens depth, tuned": depth_Q}
    return {item.by: item for item in predict_fate("0-2", "kept", happened_Q, features)}


def test_a_feature_that_tells_beats_the_baseline() -> None:
    found = fate(300, 3.0)
    item = found["lens depth, tuned"]
    assert (item.auc.low or 0) > 0.8
    assert item.gain.excludes_zero
    assert found[BASELINE].gain is None


def test_a_feature_that_does_not_tell_stays_at_chance() -> None:
    item = fate(300, 0.0)["lens depth, tuned"]
    assert (item.auc.low or 1) < 0.56
    assert not item.gain.low > 0


def test_too_few_of_a_kind_say_nothing() -> None:
    happened_Q = np.arange(100) < 5
    assert predict_fate("0-2", "fixed", happened_Q, {BASELINE: np.arange(100.0)}) == ()


def test_facts_that_are_asked_often_are_no_more_evidence_and_are_in_one_fold() -> None:
    rng = np.random.default_rng(2)
    happened_F, depth_F = rng.random(100) < 0.5, rng.normal(size=100)
    widths = {}
    for times in (1, 4):
        fact_Q = np.repeat(np.arange(100), times)
        happened_Q = happened_F[fact_Q]
        features = {
            BASELINE: rng.normal(size=len(fact_Q)),
            "lens depth, tuned": happened_Q + 2 * depth_F[fact_Q],
        }
        found = {
            item.by: item for item in predict_fate("0-2", "kept", happened_Q, features, fact_Q)
        }
        auc = found["lens depth, tuned"].auc
        assert (auc.n, auc.prompts) == (100 * times, 100)
        assert auc.low is not None
        assert auc.high is not None
        widths[times] = auc.high - auc.low
        for train, held_out in folds_of(happened_Q, fact_Q):
            assert not set(fact_Q[train]) & set(fact_Q[held_out])
    assert 0.8 < widths[4] / widths[1] < 1.25
