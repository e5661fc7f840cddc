"""Whether lens depth predicts which questions a path keeps, and which it fixes.

Predictors are compared on questions that took no part in fitting them: those of each fold are
scored by what the other folds taught.

Shapes: Q questions, F features.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from search_cluster.depth.resamples import Measured
from search_cluster.depth.verdicts import RowsFigure, redrawn
from search_cluster.model.depth_states.tables import Bools, Floats, Ints

NUM_FOLDS = 5
MIN_OF_EACH = 10
"""Facts that are kept and that are not, at least; with fewer nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPrediction:
    """How well something known of a question tells what a path does to its answer."""

    path: str
    what: str
    """``kept``: of right answers, those that stay right; ``fixed``: of wrong ones, those that the
    path answers rightly; ``same``: of all, those that stay the same answer."""
    by: str
    """The features, in words."""
    share: float
    """How many of the questions it is true of."""
    auc: Measured
    """The area under the ROC curve, out of fold: 0.5 is chance."""
    gain: Measured | None
    """The difference from the baseline (the margin alone); ``None`` of the baseline itself."""


BASELINE = "margin"
"""The feature that costs nothing: the plain model's own gap between choices."""


def predict_fate(
    path: str,
    what: str,
    happened_Q: Bools,
    features: Mapping[str, Floats],
    fact_Q: Ints | None = None,
) -> tuple[DepthPrediction, ...]:
    """Score each feature alone, and all with the baseline.

    Args:
        path: the path.
        what: what happened, in words.
        happened_Q: of which questions it is true.
        features: values by name, `BASELINE` among them.
        fact_Q: the fact that each question asks for, which is learnt from or judged by, never both;
            ``None``: each for another one.

    Returns:
        Nothing if questions of either kind ask for too few facts.
    """
    fact_Q = np.arange(len(happened_Q)) if fact_Q is None else fact_Q
    if min(len(np.unique(fact_Q[rows_Q])) for rows_Q in (happened_Q, ~happened_Q)) < MIN_OF_EACH:
        return ()
    sets = {name: values_Q[:, None] for name, values_Q in features.items()}
    sets["all together"] = np.stack(list(features.values()), axis=1)
    scores = {name: _out_of_fold(values, happened_Q, fact_Q) for name, values in sets.items()}
    return tuple(
        DepthPrediction(
            path=path,
            what=what,
            by=name,
            share=float(happened_Q.mean()),
            auc=redrawn(_auc_of(happened_Q, score_Q), fact_Q),
            gain=None
            if name == BASELINE
            else redrawn(_gain_of(happened_Q, score_Q, scores[BASELINE]), fact_Q),
        )
        for name, score_Q in scores.items()
    )


def _auc_of(happened_Q: Bools, score_Q: Floats) -> RowsFigure:
    return lambda rows: _auc(happened_Q[rows], score_Q[rows])


def _gain_of(happened_Q: Bools, score_Q: Floats, base_Q: Floats) -> RowsFigure:
    return lambda rows: _auc(happened_Q[rows], score_Q[rows]) - _auc(happened_Q[rows], base_Q[rows])


def _auc(happened_Q: Bools, score_Q: Floats) -> float:
    """The Mann-Whitney statistic, from ranks: scikit-learn's function takes 20 times as long."""
    num, num_others = int(happened_Q.sum()), int((~happened_Q).sum())
    if not num or not num_others:
        return float("nan")
    ranks = float(rankdata(score_Q)[happened_Q].sum())
    return (ranks - num * (num + 1) / 2) / (num * num_others)


def folds_of(happened_Q: Bools, fact_Q: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Who learns and who is judged, in each fold; no fact is on both sides."""
    if len(np.unique(fact_Q)) == len(fact_Q):
        single = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=0)
        yield from single.split(happened_Q, happened_Q)
    else:
        grouped = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
        yield from grouped.split(happened_Q, happened_Q, fact_Q)


def _out_of_fold(values_QF: Floats, happened_Q: Bools, fact_Q: Ints) -> Floats:
    score_Q = np.zeros(len(happened_Q))
    for train, held_out in folds_of(happened_Q, fact_Q):
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(values_QF[train], happened_Q[train])
        score_Q[held_out] = model.decision_function(values_QF[held_out])
    return score_Q
