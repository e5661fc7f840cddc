"""Whose tokens are guessed where: buckets of corpus frequency, and guesses that do not last.

The experiments are those of "How Do LLMs Use Their Depth?" (arXiv 2510.18871, sections on frequency
and on flips), with what its readers missed: frequencies are counted on the user's corpus, changes
are parted by the true next token, and the model's own output stands as the last column.

Shapes: V vocabulary, N positions, S states of a position, G buckets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import AnyArray, Bools, Floats, Ints, ReadingTable
from search_cluster.stats import mcnemar_p

BUCKET_ENDS = (10, 100, 1000)
"""The last rank of each bucket but the last, which holds the rest."""
BUCKET_NAMES = ("1-10", "11-100", "101-1000", "rest")
NUM_SHOWN = 20
"""Tokens of a bucket that are shown."""
NUM_SEARCHED = 200
"""The most frequent tokens, among which a word is looked for."""
EARLY_DEPTH = 1
"""The depth that is compared with the end."""
TARGET = 1
"""Where the true next token stands among those that are asked for, after the model's own."""
CHANGES = ("kept right", "kept wrong", "wrong to right", "right to wrong", "wrong to other wrong")
"""What the end makes of a guess, by the true next token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket:
    """The tokens of a frequency bucket, for people to look at."""

    name: str
    """Its ranks."""
    num_tokens: int
    """How many tokens it holds; in the rest, those that the corpus has."""
    corpus_share: float
    """Their share of the corpus."""
    shown: tuple[str, ...]
    """The most frequent of them."""
    num_blank: int
    """Those that are white space alone."""
    num_digits: int
    """Those that are digits alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuessFigures:
    """What a lens guesses at each depth, and what becomes of it."""

    lens: str
    shares: tuple[Curve, ...]
    """For each bucket, its share of the likeliest tokens; the last depth is the model's output."""
    masses: tuple[Curve, ...]
    """For each bucket, its probability."""
    flips: tuple[Curve, ...]
    """For each bucket, the share of its guesses that are not the model's output."""
    changes: tuple[Curve, ...]
    """For each of `CHANGES`, its share of all positions."""
    divergence: Curve
    """KL from the end, in nats."""
    agreement: Curve
    """The share of guesses that are the model's output."""
    early_share: Measured
    """The share of the first bucket at `EARLY_DEPTH` minus that in the model's output."""
    early_sign_p: float
    """The p-value of the sign test of this over prompts."""
    early_flips: Measured
    """The share of the first bucket's guesses at `EARLY_DEPTH` that are overturned."""


def corpus_counts(ids: Ints, vocabulary: int) -> Ints:
    """How often each token stands in a corpus."""
    return np.bincount(ids, minlength=vocabulary).astype(np.int64)


def buckets_of(counts_V: Ints) -> Ints:
    """The bucket of each token: by rank in the corpus, the lower id among equals."""
    order = np.lexsort((np.arange(len(counts_V)), -counts_V))
    bucket_V = np.full(len(counts_V), len(BUCKET_ENDS), dtype=np.int64)
    for bucket in reversed(range(len(BUCKET_ENDS))):
        bucket_V[order[: BUCKET_ENDS[bucket]]] = bucket
    return bucket_V


def describe_buckets(counts_V: Ints, text_of: Callable[[int], str]) -> tuple[TokenBucket, ...]:
    """The buckets with their tokens.

    Args:
        counts_V: how often each token stands in the corpus.
        text_of: what a token says.
    """
    bucket_V = buckets_of(counts_V)
    described = []
    for bucket, name in enumerate(BUCKET_NAMES):
        ids = np.flatnonzero((bucket_V == bucket) & (counts_V > 0))
        ids = ids[np.lexsort((ids, -counts_V[ids]))]
        texts = [text_of(int(token)) for token in ids]
        described.append(
            TokenBucket(
                name=name,
                num_tokens=len(ids),
                corpus_share=float(counts_V[ids].sum() / max(1, counts_V.sum())),
                shown=tuple(texts[:NUM_SHOWN]),
                num_blank=sum(not text.strip() for text in texts),
                num_digits=sum(text.strip().isdigit() for text in texts),
            )
        )
    return tuple(described)


def frequent_word(counts_V: Ints, text_of: Callable[[int], str]) -> int:
    """The id of the most frequent token that is a word: " the" in English.

    Tokens with a space in front go first: others may be pieces, such as the middle of ``<unk>``.
    """
    found: list[int] = []
    for token in np.lexsort((np.arange(len(counts_V)), -counts_V))[:NUM_SEARCHED]:
        text = text_of(int(token))
        if len(text.strip()) > 1 and text.strip().isalpha():
            if text[0].isspace():
                return int(token)
            found.append(int(token))
    return found[0] if found else int(np.argmax(counts_V))


def guess_figures(table: ReadingTable, lens: str, bucket_V: Ints) -> GuessFigures:
    """Count what a lens guesses.

    Args:
        table: positions of text; the token that is asked for is the true next one.
        lens: which lens.
        bucket_V: the bucket of each token.
    """
    readings = table.lenses[lens]
    resamples = Resamples(table.drawn_by)
    top_SN = readings.top_SN
    end_N = table.asked_NK[:, 0]
    target_N = table.asked_NK[:, TARGET]
    bucket_SN = bucket_V[top_SN]
    flipped_SN = top_SN != end_N
    shares, flips = [], []
    for bucket in range(len(BUCKET_NAMES)):
        inside_SN = bucket_SN == bucket
        shares.append(resamples.mean_curve(inside_SN))
        flips.append(resamples.curve((inside_SN & flipped_SN).T, inside_SN.T.astype(float)))
    in_first_SN = bucket_SN == 0
    early_N = in_first_SN[EARLY_DEPTH].astype(float) - in_first_SN[-1]
    return GuessFigures(
        lens=lens,
        shares=tuple(shares),
        masses=tuple(
            resamples.mean_curve(readings.mass_SNG[:, :, bucket])
            for bucket in range(readings.mass_SNG.shape[2])
        ),
        flips=tuple(flips),
        changes=tuple(
            resamples.mean_curve(change_SN) for change_SN in _changes(top_SN, end_N, target_N)
        ),
        divergence=resamples.mean_curve(readings.divergence_SN),
        agreement=resamples.mean_curve(~flipped_SN),
        early_share=resamples.mean(early_N),
        early_sign_p=_sign_p(early_N, resamples),
        early_flips=resamples.mean(flipped_SN[EARLY_DEPTH], in_first_SN[EARLY_DEPTH]),
    )


def _changes(top_SN: AnyArray, end_N: Ints, target_N: Ints) -> tuple[Bools, ...]:
    was_right_SN, is_right_N = top_SN == target_N, end_N == target_N
    kept_SN = top_SN == end_N
    return (
        kept_SN & is_right_N,
        kept_SN & ~is_right_N,
        ~was_right_SN & is_right_N,
        was_right_SN & ~is_right_N,
        ~was_right_SN & ~is_right_N & ~kept_SN,
    )


def _sign_p(difference_N: Floats, resamples: Resamples) -> float:
    """The exact sign test over prompts: how many have more of it early, how many less."""
    sums_P = np.zeros(resamples.num_prompts)
    np.add.at(sums_P, resamples.prompt_N, difference_N)
    return mcnemar_p(int((sums_P > 0).sum()), int((sums_P < 0).sum()))
