"""Menus by greedy coverage: known answers by hand, and properties on random corpora."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.corpus.coverage import candidate_paths, pick_menu
from search_cluster.corpus.record import ExampleRecord, PathVerdict
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

NUM_LAYERS = 6
IDENTITY = LayerPath.identity(NUM_LAYERS)


def without(*skipped: int) -> LayerPath:
    return LayerPath(
        tuple(layer for layer in range(NUM_LAYERS) if layer not in skipped), NUM_LAYERS
    )


def record(
    number: int, right: list[LayerPath], wrong: list[LayerPath], best: list[LayerPath]
) -> ExampleRecord:
    def tried(path: LayerPath, reward: float) -> PathVerdict:
        verdict = Verdict(reward=reward, margin=None, output="", num_layer_tokens=len(path))
        return PathVerdict(path=path, verdict=verdict)

    items = [tried(path, 1.0) for path in right] + [tried(path, 0.0) for path in wrong]
    identity = next((item.verdict for item in items if item.path == IDENTITY), None)
    return ExampleRecord(
        example=Example(
            task="t", question=f"question {number}", gold="x", split="train", source="here"
        ),
        identity=identity, evaluated=tuple(items), failures=(), pareto=(), stop_reason="budget",
        best=tuple(item for item in items if item.path in best),
    )  # fmt: skip


FIX, SHORT, SHORTER, UNMARKED = without(3), without(1), without(1, 2), without(4, 5)
CORPUS = [
    record(0, [IDENTITY, SHORT], [FIX], [SHORT]),
    record(1, [IDENTITY, SHORT, SHORTER, UNMARKED], [], [SHORTER]),
    record(2, [FIX], [IDENTITY, SHORT], [FIX]),
    record(3, [FIX, SHORT], [IDENTITY], [SHORT, FIX]),
    record(4, [], [IDENTITY, SHORTER], []),
    record(5, [IDENTITY, UNMARKED], [SHORTER], [IDENTITY]),
]


def picked(size: int) -> list[tuple[LayerPath, int, int]]:
    menu = pick_menu(CORPUS, num_layers=NUM_LAYERS, size=size)
    return [(choice.path, choice.newly_right, choice.layers_saved) for choice in menu]


def test_a_menu_by_hand() -> None:
    assert picked(99) == [
        # Identity is right on questions 0, 1 and 5.
        (IDENTITY, 3, 0),
        # FIX adds questions 2 and 3, with one layer each; SHORT would add but question 3.
        (FIX, 2, 2),
        # SHORTER saves two layers on question 1. SHORT saves as many: one on 0 and one on 1.
        (SHORTER, 0, 2),
        # SHORT saves a layer on question 0; on 1 a shorter path is there, on 3 an equal one.
        (SHORT, 0, 1),
    ]
    assert picked(2) == picked(99)[:2]


def test_only_paths_that_the_corpus_calls_best_are_candidates() -> None:
    assert UNMARKED not in [path for path, _, _ in picked(99)]
    assert candidate_paths(CORPUS[3]) == (FIX, SHORT)


def test_a_menu_holds_identity_even_where_nothing_is_right() -> None:
    (only,) = pick_menu([CORPUS[4]], num_layers=NUM_LAYERS, size=8)
    assert (only.path, only.newly_right, only.layers_saved) == (IDENTITY, 0, 0)
    with pytest.raises(InvalidValueError, match="a menu of 0 paths; it holds at least identity"):
        pick_menu(CORPUS, num_layers=NUM_LAYERS, size=0)


PATHS = [without(*skipped) for skipped in [(1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3)]]


@st.composite
def corpora(draw: st.DrawFn) -> list[ExampleRecord]:
    records = []
    for number in range(draw(st.integers(1, 8))):
        right = draw(st.lists(st.sampled_from([IDENTITY, *PATHS]), unique=True))
        wrong = [path for path in [IDENTITY, *PATHS] if path not in right]
        records.append(
            record(number, right, wrong, draw(st.lists(st.sampled_from(PATHS), unique=True)))
        )
    return records


@given(corpora(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_each_choice_adds_what_it_says_and_order_plays_no_part(corpus, size, rng) -> None:
    menu = pick_menu(corpus, num_layers=NUM_LAYERS, size=size)
    right = [
        {item.path for item in record.evaluated if item.verdict.is_correct} for record in corpus
    ]

    def total(paths: list[LayerPath]) -> tuple[int, int]:
        """Counts questions that some path answers right, and layers that the shortest one saves."""
        answered = [[len(path) for path in paths if path in known] for known in right]
        return sum(map(bool, answered)), sum(
            NUM_LAYERS - min(lengths) for lengths in answered if lengths
        )

    chosen = [choice.path for choice in menu]
    assert chosen[0] == IDENTITY
    assert len(set(chosen)) == len(chosen) <= size
    for number, choice in enumerate(menu[1:], start=1):
        before, after = total(chosen[:number]), total(chosen[: number + 1])
        assert (
            (choice.newly_right, choice.layers_saved)
            == (after[0] - before[0], after[1] - before[1])
            != (0, 0)
        )
    candidates = {path for item in corpus for path in candidate_paths(item)}
    if len(menu) < size:
        assert all(total([*chosen, path]) == total(chosen) for path in candidates)
    else:
        rest = [total([*chosen[:-1], path]) for path in candidates - set(chosen[:-1])]
        assert all(score <= total(chosen) for score in rest) or size == 1
    shuffled = list(corpus)
    rng.shuffle(shuffled)
    assert pick_menu(shuffled, num_layers=NUM_LAYERS, size=size) == menu
