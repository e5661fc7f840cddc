import numpy as np
import torch
from support.loaded_tiny import loaded_tiny

from search_cluster.model.depth_states.probes import read_probes
from search_cluster.model.depth_states.quick_lens import fit_pair
from search_cluster.model.depth_states.tables import LOGIT, TUNED
from search_cluster.model.depth_states.text_probes import draw_sequences, first_prompts, text_probes
from search_cluster.model.depth_states.word_probes import word_probes, words_at_tokens
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.texts import TokenSequence, TokenTexts, texts_of_ids


def drawn(num: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[int(token) for token in rng.integers(4, 200, size=40)] for _ in range(num)]


def test_what_is_studied_is_not_what_lenses_are_fitted_on() -> None:
    texts = texts_of_ids("made up", drawn(30))
    studied, fitted = draw_sequences(texts, num_positions=100, num_fit_tokens=400, seed=3)
    assert len(studied) == 5
    assert not {item.ids for item in studied} & {item.ids for item in fitted}
    assert 400 <= sum(item.num_rows for item in fitted) < 440
    assert draw_sequences(texts, num_positions=100, num_fit_tokens=400, seed=3) == (studied, fitted)


def test_positions_ask_for_the_true_next_token() -> None:
    texts = texts_of_ids("made up", drawn(10))
    studied, _ = draw_sequences(texts, num_positions=50, num_fit_tokens=1, seed=0)
    probes = text_probes(studied, num_positions=50, seed=0)
    assert sum(len(item.positions) for item in probes) == 50
    for item in probes:
        assert list(item.positions) == sorted(set(item.positions))
        for position, (token,) in zip(item.positions, item.asked, strict=True):
            assert item.ids[position + 1] == token


def choices_of(num_questions: int) -> TokenTexts:
    """Questions of 30 tokens with four choices of 6 each."""
    sequences = []
    for number, context in enumerate(drawn(num_questions)):
        for choice in range(4):
            ids = (number, *context[:29], *drawn(1, seed=choice)[0][:6])
            sequences.append(TokenSequence(ids=ids, first=30 if choice else 0))
    return TokenTexts(source="made up", sequences=tuple(sequences))


def test_the_choices_of_a_question_are_studied_together_or_not_at_all() -> None:
    texts = choices_of(12)
    studied, fitted = draw_sequences(texts, num_positions=100, num_fit_tokens=10_000, seed=1)
    parts = [[item.ids[0] for item in part] for part in (studied, fitted)]
    assert [len(set(part)) for part in parts] == [5, 7]
    assert not set(parts[0]) & set(parts[1])
    assert all(part == [part[at // 4 * 4] for at in range(len(part))] for part in parts)
    assert [item.first for item in studied] == [0, 30, 30, 30] * 5


def test_the_choices_of_a_question_are_one_prompt() -> None:
    texts = choices_of(12)
    studied, _ = draw_sequences(texts, num_positions=100, num_fit_tokens=1, seed=1)
    probes = text_probes(studied, num_positions=90, seed=0)
    questions = {(item.prompt, item.ids[0]) for item in probes}
    assert len(questions) == len(dict(questions)) == 5
    sizes = {prompt: 0 for prompt, _ in questions}
    for item in probes:
        sizes[item.prompt] += len(item.positions)
        assert item.ids in {other.ids for other in studied}
        for position, (token,) in zip(item.positions, item.asked, strict=True):
            assert item.ids[position + 1] == token
    assert [sizes[prompt] for prompt in sorted(sizes)] == [20, 20, 20, 20, 10]
    few = first_prompts(probes, 45)
    assert {item.prompt for item in few} == {item.prompt for item in probes if item.prompt < 2}
    assert sum(len(item.positions) for item in few) == 40
    assert {item.prompt for item in first_prompts(probes, 5)} == {probes[0].prompt}


def test_words_begin_where_their_first_character_does() -> None:
    text = "the cat’s hat"
    offsets = [(0, 3), (3, 7), (7, 9), (9, 11), (11, 13)]
    labels = {0: 1, 4: 2, 7: 3, 10: 4}
    assert words_at_tokens(labels, offsets, text) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert words_at_tokens({12: 9}, offsets, text) == []  # it begins inside a token


def test_words_are_predicted_from_the_token_before_them() -> None:
    loaded = loaded_tiny()
    text = "what number is the answer of the city"
    labels = {text.index(word): place for place, word in enumerate(("answer", "city"))}
    (probe,), _ = word_probes(loaded, [(text, labels)], num_words=5, seed=0)
    assert probe.labels == (0, 1)
    for position, (token,) in zip(probe.positions, probe.asked, strict=True):
        assert probe.ids[position + 1] == token


def test_a_quick_lens_is_nearer_to_the_end_and_its_twin_differs_from_it() -> None:
    loaded = loaded_tiny()
    texts = texts_of_ids("made up", drawn(120))
    studied, fitted = draw_sequences(texts, num_positions=200, num_fit_tokens=4000, seed=0)
    token = fitted[0].ids[5]
    pair = fit_pair(loaded, fitted, token, with_twin=True)
    assert pair.reweighted is not None
    assert pair.taught > 0
    probes = text_probes(studied, num_positions=200, seed=0)
    lenses = {LOGIT: Lens.logit(loaded.model), TUNED: pair.tuned}
    table = read_probes(loaded, lenses, probes)
    means = {name: table.lenses[name].divergence_SN.mean(axis=1) for name in lenses}
    assert (means[TUNED][:-1] < means[LOGIT][:-1]).all()
    assert not torch.equal(pair.tuned.weight_LDD, pair.reweighted.weight_LDD)
    again = fit_pair(loaded, fitted, token, with_twin=False)
    assert again.reweighted is None
    assert torch.equal(pair.tuned.weight_LDD, again.tuned.weight_LDD)
