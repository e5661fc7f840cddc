"""Probes of running text: sequences drawn from a corpus, and positions drawn from each."""

from collections.abc import Sequence

import numpy as np

from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.depth_states.tables import Ints
from search_cluster.model.lens.texts import TokenSequence, TokenTexts, first_sequences

SEQUENCE_TOKENS = 96
"""Tokens of a sequence."""
POSITIONS_PER_SEQUENCE = 20
"""Positions of a sequence that are read: many sequences tell more than many positions of few."""
FIRST_POSITION = 8
"""The first position that may be drawn: before it there is too little to read from."""


def corpus_ids(texts: TokenTexts) -> Ints:
    """All tokens of a corpus that count."""
    parts = [np.array(item.ids[item.first :], dtype=np.int64) for item in texts.sequences]
    return np.concatenate(parts)


def draw_sequences(
    texts: TokenTexts, *, num_positions: int, num_fit_tokens: int, seed: int
) -> tuple[tuple[TokenSequence, ...], tuple[TokenSequence, ...]]:
    """Sequences to study, and others to fit a lens on; none is in both.

    Args:
        texts: the corpus.
        num_positions: positions to study.
        num_fit_tokens: tokens to fit on, at most what is left.
        seed: draws them.
    """
    order = np.random.default_rng(seed).permutation(len(texts.sequences))
    usable = [
        texts.sequences[place]
        for place in order
        if len(texts.sequences[place].ids) > FIRST_POSITION + 1
    ]
    num_studied = -(-num_positions // POSITIONS_PER_SEQUENCE)
    # A small corpus is shared half and half.
    num_studied = min(num_studied, max(1, len(usable) // 2))
    fitted = first_sequences(usable[num_studied:], num_fit_tokens)
    return tuple(usable[:num_studied]), fitted


def text_probes(
    sequences: Sequence[TokenSequence], *, num_positions: int, seed: int
) -> tuple[PromptProbe, ...]:
    """Positions of sequences, drawn; the token that is asked for is the true next one."""
    rng = np.random.default_rng(seed + 1)
    probes = []
    num_left = num_positions
    for number, sequence in enumerate(sequences):
        first = max(FIRST_POSITION, sequence.first - 1)
        places = np.arange(first, len(sequence.ids) - 1)
        size = min(len(places), POSITIONS_PER_SEQUENCE, num_left)
        if size <= 0:
            continue
        chosen = np.sort(rng.choice(places, size=size, replace=False))
        num_left -= size
        probes.append(
            PromptProbe(
                prompt=number,
                ids=sequence.ids,
                positions=tuple(int(place) for place in chosen),
                labels=(0,) * size,
                asked=tuple((sequence.ids[place + 1],) for place in chosen),
            )
        )
    return tuple(probes)
