"""Probes of sentences with known word classes: where the first token of a word is predicted."""

from collections.abc import Sequence

import numpy as np

from search_cluster.depth.conllu import WORD_CLASSES, ClassedSentence, words_at_tokens
from search_cluster.model.depth_states.plain_text import start_ids, token_offsets
from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.loaded import LoadedModel

FIRST_TOKEN = 3
"""The first token that is predicted: before it there is too little to read from."""


def word_probes(
    loaded: LoadedModel, sentences: Sequence[ClassedSentence], *, num_words: int, seed: int
) -> tuple[PromptProbe, ...]:
    """Words of sentences, drawn; each is asked for its first token and labelled by its class.

    All sentences have a part in it: so many words of each are drawn that there are about
    ``num_words`` in all.

    Raises:
        ModelError: the tokenizer does not say which characters its tokens are of.
    """
    rng = np.random.default_rng(seed)
    per_sentence = max(1, -(-num_words // len(sentences)))
    start = start_ids(loaded)
    probes: list[PromptProbe] = []
    num_left = num_words
    for number in rng.permutation(len(sentences)):
        sentence = sentences[number]
        ids, offsets = token_offsets(loaded, sentence.text)
        found = [
            (token, name)
            for token, name in words_at_tokens(sentence.words, offsets, sentence.text)
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
                labels=tuple(WORD_CLASSES.index(name) for _, name in words),
                asked=tuple((ids[token],) for token, _ in words),
            )
        )
    return tuple(probes)
