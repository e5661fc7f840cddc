"""Multiple choice: when options come among the likeliest tokens, and when one of them is chosen.

Options are the first tokens of the choices' texts, or letters. What the product scores is the mean
log-probability of a choice's whole text; its figures stand in `verdicts`.

Shapes: N questions, S states of a position, C options.
"""

from dataclasses import dataclass

import numpy as np

from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import NO_TOKEN, Bools, Floats, Ints, ReadingTable

COLLECTED_SHARE = 0.5
"""Options count as collected, and choices as made, from the depth on from which so much of what
the end has of them is there and stays."""
AMONG = 10
"""Options are counted among so many times as many likeliest tokens as there are options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRace:
    """How options come up with depth, through one lens."""

    lens: str
    options: str
    """``texts``: the first tokens of the choices' texts; ``letters``; ``foreign letters``: letters
    that are no option, as a control."""
    mean_rank: Curve
    """The mean rank of the options, from 1; geometric, since ranks span the vocabulary."""
    mass: Curve
    """The probability of all options."""
    among: Curve
    """The share of options among the likeliest `AMONG` x C tokens."""
    agreement: Curve
    """The share of questions whose best option is already that of the end."""
    accuracy: Curve
    """The share of questions whose best option is the right one."""
    chance: float
    """The accuracy of guesses."""
    collected_depth: Measured
    """The mean depth from which on half of the options of the end are `AMONG` the likeliest."""
    decided_depth: Measured
    """The mean depth from which on the best option is that of the end."""
    decided_later: Measured
    """The difference of the two: above 0, options are collected first."""


def option_race(
    table: ReadingTable,
    *,
    options: str,
    gold_N: Ints,
    first: int = 1,
    num_options: int | None = None,
) -> tuple[OptionRace, ...]:
    """Follow the options through the depths, for each lens.

    Args:
        table: a position for each question, where the answer begins.
        options: what the options are, in words.
        gold_N: the place of the right option; -1 where there is none.
        first: where the options begin among the tokens that are asked for.
        num_options: how many there are; ``None``: all that follow.
    """
    last = table.asked_NK.shape[1] if num_options is None else first + num_options
    there_NC = table.asked_NK[:, first:last] != NO_TOKEN
    resamples = Resamples(table.drawn_by)
    counts_N = there_NC.sum(axis=1)
    races = []
    for lens, readings in table.lenses.items():
        rank_SNC = readings.rank_SNK[:, :, first:last]
        log_SNC = np.where(there_NC, readings.log_probability_SNK[:, :, first:last], -np.inf)
        best_SN = log_SNC.argmax(axis=2)
        share_SN = _share_among(table, lens, slice(first, last))
        log_rank_SN = np.where(there_NC, np.log(np.maximum(rank_SNC, 0) + 1.0), 0.0).sum(axis=2)
        decided_N = settled_depth(best_SN == best_SN[-1])
        collected_N = collected_depth(table, lens, slice(first, last))
        mean_rank = resamples.mean_curve(log_rank_SN / counts_N)
        races.append(
            OptionRace(
                lens=lens,
                options=options,
                mean_rank=_exponential(mean_rank),
                mass=resamples.mean_curve(np.exp(log_SNC).sum(axis=2)),
                among=resamples.mean_curve(share_SN),
                agreement=resamples.mean_curve(best_SN == best_SN[-1]),
                accuracy=resamples.mean_curve(best_SN == gold_N),
                chance=float((1 / counts_N).mean()),
                collected_depth=resamples.mean(collected_N),
                decided_depth=resamples.mean(decided_N),
                decided_later=resamples.mean(decided_N - collected_N),
            )
        )
    return tuple(races)


def cases_of(right_N: Bools) -> tuple[tuple[str, Bools], ...]:
    """All questions, the right ones and the wrong ones, as far as there are any: name and rows."""
    cases = (("all", np.ones_like(right_N)), ("right", right_N), ("wrong", ~right_N))
    return tuple((name, rows_N) for name, rows_N in cases if rows_N.any())


def collected_depth(table: ReadingTable, lens: str, options: slice) -> Floats:
    """From where on half of the options of the end are `AMONG` the likeliest, question by question.

    Args:
        table: a position for each question, where the answer begins.
        lens: the lens' name.
        options: where the options stand among the tokens that are asked for.
    """
    share_SN = _share_among(table, lens, options)
    return settled_depth(share_SN >= COLLECTED_SHARE * np.maximum(share_SN[-1], 1e-9))


def _share_among(table: ReadingTable, lens: str, options: slice) -> Floats:
    there_NC = table.asked_NK[:, options] != NO_TOKEN
    counts_N = there_NC.sum(axis=1)
    rank_SNC = table.lenses[lens].rank_SNK[:, :, options]
    among_SNC = there_NC & (rank_SNC < AMONG * counts_N[:, None])
    share_SN: Floats = among_SNC.sum(axis=2) / counts_N
    return share_SN


def settled_depth(same_SN: Bools) -> Floats:
    """The first depth from which on something holds; the number of states where it never does."""
    num_at_end_N = np.logical_and.accumulate(same_SN[::-1], axis=0).sum(axis=0)
    depth_N: Floats = (len(same_SN) - num_at_end_N).astype(np.float64)
    return depth_N


def _exponential(curve: Curve) -> Curve:
    def of(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(None if item is None else float(f"{np.exp(item):.6g}") for item in values)

    return Curve(
        value=of(curve.value),
        low=of(curve.low),
        high=of(curve.high),
        n=curve.n,
        prompts=curve.prompts,
    )
