"""A tuned lens for studies that are given none, and its twin to which one word hardly counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.model.lens.fitting.held_out import HeldOutRows, split_sequences
from search_cluster.model.lens.fitting.ridge import (
    STRENGTHS,
    RidgeSums,
    choose_translators,
    translators_of,
)
from search_cluster.model.lens.fitting.rows import batches_of, read_rows
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
    """Fit a lens in closed form, and its twin, in one pass over the texts.

    The twin's penalties are the lens' own: the pair differs in what its rows count alone.

    Args:
        loaded: the model.
        sequences: at least two texts.
        token: positions that it follows count `REWEIGHT` in the twin's fit.
        with_twin: whether the twin is fitted, too.

    Raises:
        InvalidValueError: there are too few texts, or a translator is not finite.
        NonFiniteLogitsError: a state leads to logits that are not finite.
    """
    model, split = loaded.model, split_sequences(sequences)
    weighed = [TokenWeights(), TokenWeights(by_token={token: REWEIGHT})][: 1 + with_twin]
    sums = [RidgeSums.of(model, {}) for _ in weighed]
    for batch in batches_of(split.fitted):
        rows = read_rows(model, split.fitted[batch])
        for own, weights in zip(sums, weighed, strict=True):
            own.add(rows.states_SND, weights.of_rows(model, rows.states_SND[-1], rows.next_N))
        del rows  # before the next are read: a pass' states are many
    held_out = HeldOutRows.read(model, split.held_out)
    tuned, *twins = sums
    found = choose_translators(model, tuned, held_out.states_SND, STRENGTHS)
    return LensPair(
        tuned=found.lens,
        reweighted=translators_of(twins[0], found.strengths) if twins else None,
        rows=tuned.num_rows,
        taught=sum(item.ids[max(1, item.first) :].count(token) for item in sequences),
    )
