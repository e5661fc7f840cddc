"""Probes of running text: sequences drawn from a corpus, and positions drawn from each."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.depth_states.tables import Ints
from search_cluster.model.lens.texts import (
    TokenSequence,
    TokenTexts,
    by_context,
    first_sequences,
)

SEQUENCE_TOKENS = 96
"""Tokens of a sequence."""
POSITIONS_PER_PROMPT = 20
"""Positions of a text that are read: many texts tell more than many positions of few."""
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

    A question's choices are drawn together, because they share its prompt.

    Args:
        texts: the corpus.
        num_positions: positions to study.
        num_fit_tokens: tokens to fit on, if so many are left; the last sequence is taken whole.
        seed: draws them.
    """
    groups = by_context(texts.sequences)
    order = np.random.default_rng(seed).permutation(len(groups))
    usable = [
        groups[place]
        for place in order
        if any(len(item.ids) > FIRST_POSITION + 1 for item in groups[place])
    ]
    num_studied = -(-num_positions // POSITIONS_PER_PROMPT)
    # A small corpus is shared half and half.
    num_studied = min(num_studied, max(1, len(usable) // 2))
    studied, left = usable[:num_studied], usable[num_studied:]
    fitted = first_sequences((item for group in left for item in group), num_fit_tokens, whole=True)
    return tuple(item for group in studied for item in group), fitted


def text_probes(
    sequences: Sequence[TokenSequence], *, num_positions: int, seed: int
) -> tuple[PromptProbe, ...]:
    """Positions of sequences, drawn; the token that is asked for is the true next one.

    A question's choices are one prompt.
    """
    rng = np.random.default_rng(seed + 1)
    probes = []
    num_left = num_positions
    for number, group in enumerate(by_context(sequences)):
        places = [
            (at, place)
            for at, sequence in enumerate(group)
            for place in range(max(FIRST_POSITION, sequence.first - 1), len(sequence.ids) - 1)
        ]
        size = min(len(places), POSITIONS_PER_PROMPT, num_left)
        if size <= 0:
            continue
        num_left -= size
        chosen = sorted(places[at] for at in rng.choice(len(places), size=size, replace=False))
        for at, positions in groupby(chosen, key=lambda place: place[0]):
            ids, own = group[at].ids, tuple(position for _, position in positions)
            probes.append(
                PromptProbe(
                    prompt=number,
                    ids=ids,
                    positions=own,
                    labels=(0,) * len(own),
                    asked=tuple((ids[position + 1],) for position in own),
                )
            )
    return tuple(probes)


def first_prompts(probes: Sequence[PromptProbe], num_positions: int) -> tuple[PromptProbe, ...]:
    """The first prompts, each whole: at least one, and no more positions than asked for if more."""
    taken: list[PromptProbe] = []
    num_left = num_positions
    for _, group in groupby(probes, key=lambda probe: probe.prompt):
        own = tuple(group)
        num_left -= sum(len(probe.positions) for probe in own)
        if taken and num_left < 0:
            break
        taken += own
    return tuple(taken)
