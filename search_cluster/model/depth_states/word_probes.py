"""Probes of sentences with known word classes: where the first token of a word is predicted."""

from collections.abc import Mapping, Sequence

import numpy as np

from search_cluster.model.data_text import leading_ids
from search_cluster.model.depth_states.plain_text import fits_window, token_offsets
from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.loaded import LoadedModel

FIRST_TOKEN = 3
"""The first token that is predicted: before it there is too little to read from."""


def word_probes(
    loaded: LoadedModel,
    sentences: Sequence[tuple[str, Mapping[int, int]]],
    *,
    num_words: int,
    seed: int,
) -> tuple[tuple[PromptProbe, ...], int]:
    """Words of sentences, drawn; each is asked for its first token.

    All sentences have a part in it: so many words of each are drawn that there are about
    ``num_words`` in all.

    Args:
        loaded: the model.
        sentences: texts, with the label of each word by the word's first character.
        num_words: words at most.
        seed: draws them.

    Returns:
        The probes, and how many sentences are left out because they are too long for the model.

    Raises:
        ModelError: the tokenizer does not say which characters its tokens are of.
    """
    rng = np.random.default_rng(seed)
    per_sentence = max(1, -(-num_words // len(sentences)))
    start = leading_ids(loaded.tokenizer)
    probes: list[PromptProbe] = []
    num_left, num_left_out = num_words, 0
    for number in rng.permutation(len(sentences)):
        text, labels = sentences[number]
        ids, offsets = token_offsets(loaded, text)
        if not fits_window(loaded, len(ids)):
            num_left_out += 1
            continue
        found = [
            (token, label)
            for token, label in words_at_tokens(labels, offsets, text)
            if token >= FIRST_TOKEN
        ]
        size = min(len(found), per_sentence, num_left)
        if size <= 0:
            continue
        chosen = sorted(rng.choice(len(found), size=size, replace=False))
        num_left -= size
        words = [found[place] for place in chosen]
        probes.append(
            PromptProbe(
                prompt=int(number),
                ids=(*start, *ids),
                positions=tuple(len(start) + token - 1 for token, _ in words),
                labels=tuple(label for _, label in words),
                asked=tuple((ids[token],) for token, _ in words),
            )
        )
    return tuple(probes), num_left_out


def words_at_tokens(
    labels: Mapping[int, int], offsets: Sequence[tuple[int, int]], text: str
) -> list[tuple[int, int]]:
    """The tokens that begin a word, with the word's label.

    A token begins a word if its first character that is no white space is the word's first. Words
    that begin inside a token have none.

    Args:
        labels: of words, by their first character.
        offsets: the characters ``[begin, end)`` of each token.
        text: the sentence.
    """
    open_labels = dict(labels)
    found = []
    for token, (begin, end) in enumerate(offsets):
        piece = text[begin:end]
        first = begin + len(piece) - len(piece.lstrip())
        if first < end and first in open_labels:
            found.append((token, open_labels.pop(first)))
    return found
