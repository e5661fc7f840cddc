"""Who is so far behind after a first look that the first round need not ask it."""

from collections.abc import Sequence

from search_cluster.scan.constants import RACE
from search_cluster.scan.gain import Gain, Prior, pulled
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.ranking import TOLERATED_WORTH, Estimate
from search_cluster.scan.settings import Aim


def not_behind(
    estimates: Sequence[Estimate], prior: LayerPrior, aim: str, num_needed: int
) -> list[Estimate]:
    """Those that may be among the best so many, by what they answered and by their layers.

    Where shorter paths are looked for, one that may be worth as much as the plain model goes on,
    too.

    Args:
        estimates: after a first look.
        prior: what is known of layers beforehand.
        aim: what makes a path better.
        num_needed: how many the first round keeps.
    """
    if len(estimates) <= num_needed:
        return list(estimates)
    expected = prior.learn(estimates)
    gains = {item.path: _with_prior(item, expected(item.candidate)) for item in estimates}
    last = sorted((gain.mean for gain in gains.values()), reverse=True)[num_needed - 1]

    def goes_on(item: Estimate) -> bool:
        gain = gains[item.path]
        keeps = item.is_shorter and gain.keeps(TOLERATED_WORTH, -RACE.prior_errors)
        return gain.at(RACE.prior_errors) >= last or (aim != Aim.ACCURACY and keeps)

    return [item for item in estimates if goes_on(item)]


def _with_prior(item: Estimate, prior: Prior | None) -> Gain:
    return item.seen if prior is None else pulled(item.seen, prior)
