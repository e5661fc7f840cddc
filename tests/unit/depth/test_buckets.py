import numpy as np
import pytest
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.buckets import (
    CHANGES,
    buckets_of,
    corpus_counts,
    describe_buckets,
    frequent_word,
    guess_figures,
)


def test_buckets_follow_the_corpus_and_ties_the_ids() -> None:
    counts_V = np.zeros(2000, dtype=np.int64)
    counts_V[5] = 100
    bucket_V = buckets_of(counts_V)
    assert bucket_V[5] == 0
    assert np.flatnonzero(bucket_V == 0).tolist() == list(range(10))
    assert [int((bucket_V == bucket).sum()) for bucket in range(4)] == [10, 90, 900, 1000]


def test_a_bucket_shows_its_tokens_and_flags_white_space_and_digits() -> None:
    texts = {0: " the", 1: "\n", 2: "7", 3: " of"}
    counts_V = corpus_counts(np.array([0, 0, 0, 1, 1, 2, 3]), 4)
    first, *_ = describe_buckets(counts_V, texts.__getitem__)
    assert first.shown == (" the", "\n", "7", " of")
    assert (first.num_blank, first.num_digits, first.num_tokens) == (1, 1, 4)
    assert first.corpus_share == 1.0
    assert frequent_word(counts_V, texts.__getitem__) == 0


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [(["unk", " <", " the", "of"], 2), (["a", "unk", "7", "of"], 1), (["<", ",", ".", "7"], 0)],
)
def test_the_frequent_word_is_a_whole_one_where_spaces_tell(texts: list[str], wanted: int) -> None:
    assert frequent_word(np.array([9, 8, 7, 6]), texts.__getitem__) == wanted


TOPS_SN = [[0, 0, 20, 20, 20], [0, 20, 20, 21, 20], [0, 20, 21, 21, 21]]
TARGETS = [0, 20, 20, 22, 21]
"""The end is right on the first two and the last."""


def test_flips_are_parted_by_the_true_next_token() -> None:
    table = made_up_table(
        made_up_readings(TOPS_SN),
        asked_NK=[[end, target] for end, target in zip(TOPS_SN[-1], TARGETS, strict=True)],
    )
    bucket_V = buckets_of(np.arange(2000, 0, -1))
    figures = guess_figures(table, "logit", bucket_V)
    at_first = {name: curve.value[0] for name, curve in zip(CHANGES, figures.changes, strict=True)}
    assert at_first == {
        "kept right": 0.2,  # 0, 0 with target 0
        "kept wrong": 0.0,
        "wrong to right": 0.4,  # 0 -> 20 with target 20, 20 -> 21 with target 21
        "right to wrong": 0.2,  # 20 -> 21 with target 20
        "wrong to other wrong": 0.2,  # 20 -> 21 with target 22
    }
    for depth in range(3):
        assert sum(curve.value[depth] or 0 for curve in figures.changes) == pytest.approx(1)
    assert figures.flips[0].value[0] == 0.5  # two guesses of the first bucket, one of them flipped
    assert figures.flips[0].value[-1] == 0.0
    assert [curve.value[-1] for curve in figures.shares] == [0.2, 0.8, 0.0, 0.0]


def test_more_frequent_tokens_early_than_late_is_a_difference_above_zero() -> None:
    num = 40
    tops = [[0] * num, [0] * num, [50] * num]
    table = made_up_table(made_up_readings(tops), asked_NK=[[50, 50]] * num)
    figures = guess_figures(table, "logit", buckets_of(np.arange(2000, 0, -1)))
    assert figures.early_share.value == 1.0
    assert figures.early_share.excludes_zero
    assert figures.early_sign_p < 1e-6
    assert figures.early_flips.value == 1.0
