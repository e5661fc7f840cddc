"""A tuned lens for studies that are given none, and its twin to which one word hardly counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.model.lens.fitting.ridge import fit_ridge
from search_cluster.model.lens.fitting.weights import TokenWeights
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel

REWEIGHT = 1e-3
"""What a row counts, in the second fit, that the word follows."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensPair:
    """A lens, and one of the same rows in which one token's followers hardly count."""

    tuned: Lens
    reweighted: Lens | None
    """``None``: it was not asked for."""
    rows: int
    """Rows of the fit."""
    taught: int
    """Positions of the texts that the token follows."""


def fit_pair(
    loaded: LoadedModel,
    sequences: Sequence[TokenSequence],
    token: int,
    *,
    with_twin: bool,
) -> LensPair:
    """Fit a lens in closed form, and its twin.

    Args:
        loaded: the model.
        sequences: at least two texts.
        token: positions that it follows count `REWEIGHT` in the twin's fit.
        with_twin: whether the twin is fitted, too.

    Raises:
        InvalidValueError: there are too few texts.
    """
    fitted = fit_ridge(loaded.model, sequences)
    twin = None
    if with_twin:
        weights = TokenWeights(by_token={token: REWEIGHT})
        twin = fit_ridge(loaded.model, sequences, weights=weights).lens
    return LensPair(
        tuned=fitted.lens,
        reweighted=twin,
        rows=fitted.num_rows,
        taught=sum(item.ids[max(1, item.first) :].count(token) for item in sequences),
    )
