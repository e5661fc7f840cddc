"""Made-up answers of many paths, correlated as those of one model's are, with known true gains.

Shapes: N questions, P paths.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
PLAIN_ACCURACY = 0.6


def differences(
    rng: np.random.Generator,
    num_questions: int,
    fixes_P: Floats,
    breaks_P: Floats,
    *,
    correlation: float,
) -> Floats:
    """right(path) - right(plain), shape [N, P].

    Args:
        rng: the source of all draws.
        num_questions: N.
        fixes_P: how likely each path answers a question right that the plain model does not.
        breaks_P: how likely it answers one wrong that the plain model answers right.
        correlation: of the latent normal numbers of two paths that decide it.
    """
    plain_N1 = rng.random((num_questions, 1)) < PLAIN_ACCURACY
    common_N1 = rng.standard_normal((num_questions, 1))
    own_NP = rng.standard_normal((num_questions, len(fixes_P)))
    latent_NP = np.sqrt(correlation) * common_N1 + np.sqrt(1 - correlation) * own_NP
    uniform_NP = norm.cdf(latent_NP)
    return np.where(plain_N1, -1.0 * (uniform_NP < breaks_P), 1.0 * (uniform_NP < fixes_P))


def true_gains(fixes_P: Floats, breaks_P: Floats) -> Floats:
    """What the paths truly gain."""
    return (1 - PLAIN_ACCURACY) * fixes_P - PLAIN_ACCURACY * breaks_P


def no_gain(num_paths: int, change_share: float) -> tuple[Floats, Floats]:
    """Chances to fix and to break of paths that change answers, as many to the better as not."""
    fixes = change_share / 2 / (1 - PLAIN_ACCURACY)
    return np.full(num_paths, fixes), np.full(num_paths, change_share / 2 / PLAIN_ACCURACY)
