"""The lens' own bias: does it guess a frequent word early only because it learnt to?

Two lenses are fitted alike, but for one: positions that the frequent word follows count a
thousandth. What the second one still guesses is not what it was taught to.
"""

from dataclasses import dataclass

import numpy as np

from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import REWEIGHTED, TUNED, ReadingTable

EARLY_SHARE = 0.5
"""Depths of this first part of the model are early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasFigures:
    """How often a frequent word is guessed, by a lens and by one that hardly learnt it."""

    word: str
    """The word."""
    taught: int
    """Positions of the fit that it follows."""
    share: Curve
    """Its share of the likeliest tokens through the tuned lens."""
    reweighted_share: Curve
    """The same through the other lens."""
    change: Measured
    """The relative change of its share at early depths: -0.2 is a fifth less."""
    others_changed: Measured
    """The share of early guesses that are another token through the other lens."""


def bias_figures(table: ReadingTable, token: int, word: str, taught: int) -> BiasFigures:
    """Compare the two lenses.

    Args:
        table: positions that both have read.
        token: the frequent word's id.
        word: its text.
        taught: positions of the fit that it follows.
    """
    resamples = Resamples(table.drawn_by)
    tops = [table.lenses[name].top_SN for name in (TUNED, REWEIGHTED)]
    guessed = [top_SN == token for top_SN in tops]
    early = slice(1, max(2, int(EARLY_SHARE * len(tops[0]))))
    counts = [resamples.sums(found_SN[early].sum(axis=0)) for found_SN in guessed]
    change_B = counts[1] / np.where(counts[0] > 0, counts[0], np.nan) - 1
    everywhere = np.ones(table.num_positions, dtype=bool)
    return BiasFigures(
        word=word,
        taught=taught,
        share=resamples.mean_curve(guessed[0]),
        reweighted_share=resamples.mean_curve(guessed[1]),
        change=resamples.estimate(change_B, everywhere),
        others_changed=resamples.mean((tops[0] != tops[1])[early].mean(axis=0)),
    )
