"""A control of tuned lenses: the same translators, each reading the states of another depth.

What a lens of shuffled translators still says of the end is what translators say whatever they
read: that frequent tokens are likely, that states have a mean. The rest is read in the layer.

Shapes: N positions, S states of a position, L translators.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search_cluster.depth.onset import OWN, THRESHOLDS, OnsetFigures, onset_figures, onsets_of
from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import (
    LOGIT,
    SHUFFLED,
    TUNED,
    Bools,
    ReadingTable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetMove:
    """How much deeper the model's own prediction is stable through shuffled translators."""

    case: str
    """``right``: the prediction is the true token; ``wrong``: it is not."""
    threshold: int
    """k."""
    moved: Measured
    """In layers; above 0, it is stable later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LensControl:
    """A tuned lens beside the same one with its translators shuffled among the depths."""

    order: tuple[int, ...]
    """The depth of the translator that reads each depth but the last, which has none."""
    divergence: Mapping[str, Curve]
    """By lens (logit, tuned, shuffled): KL from the end at each depth, in nats."""
    mean_divergence: Mapping[str, Measured]
    """By lens: its mean over all depths but the first and the last. (The logit lens reads nothing
    of embeddings, and would be all of a mean.)"""
    kept: Measured
    """What the shuffled lens keeps of the tuned one's gain over the logit lens, in mean KL."""
    onsets: tuple[OnsetFigures, ...]
    """Of the tuned and of the shuffled lens, on the same positions."""
    moves: tuple[OnsetMove, ...]


def shuffled_order(num_layers: int, seed: int) -> tuple[int, ...] | None:
    """An order of the translators in which none stays; ``None`` if there is only one."""
    if num_layers < 2:
        return None
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(num_layers)
        if (order != np.arange(num_layers)).all():
            return tuple(int(depth) for depth in order)


def lens_control(
    usual: ReadingTable, shuffled: ReadingTable, right_N: Bools, order: tuple[int, ...]
) -> LensControl:
    """Compare the lenses.

    Args:
        usual: positions that the logit lens and the tuned one have read.
        shuffled: what the shuffled one reads of the same positions.
        right_N: whether the model's prediction is the true token.
        order: see `LensControl`.
    """
    lenses = {**usual.lenses, SHUFFLED: shuffled.lenses[SHUFFLED]}
    names = (LOGIT, TUNED, SHUFFLED)
    resamples = Resamples(usual.drawn_by)
    mean_N = {name: lenses[name].divergence_SN[1:-1].mean(axis=0) for name in names}
    kept_B = resamples.ratio(mean_N[LOGIT] - mean_N[SHUFFLED], mean_N[LOGIT] - mean_N[TUNED])
    table = ReadingTable(
        fact_N=usual.fact_N,
        prompt_N=usual.prompt_N,
        label_N=usual.label_N,
        asked_NK=usual.asked_NK,
        influence_LN=usual.influence_LN,
        lenses=lenses,
    )
    everywhere_N = np.ones(table.num_positions, dtype=bool)
    moves = []
    for threshold in THRESHOLDS:
        # The model's own prediction is the likeliest token at the end, so that both are known.
        stable = [
            onsets_of(lenses[name].rank_SNK[:, :, OWN], threshold).stable_N
            for name in (TUNED, SHUFFLED)
        ]
        known_N = ~np.isnan(stable[0]) & ~np.isnan(stable[1])
        moved_N = np.nan_to_num(stable[1] - stable[0])
        moves += [
            OnsetMove(
                case=case, threshold=threshold, moved=resamples.mean(moved_N, known_N & case_N)
            )
            for case, case_N in (("right", right_N), ("wrong", ~right_N))
        ]
    return LensControl(
        order=order,
        divergence={name: resamples.mean_curve(lenses[name].divergence_SN) for name in names},
        mean_divergence={name: resamples.mean(mean_N[name]) for name in names},
        kept=resamples.estimate(kept_B, everywhere_N),
        onsets=onset_figures(
            table, right_N, groups={"all": everywhere_N}, lenses=(TUNED, SHUFFLED)
        ),
        moves=tuple(moves),
    )
