"""Texts of one beginning share a row: the same rows, for less work."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from support import tiny
from support.counting import counted_rows
from transformers import PreTrainedModel

from search_cluster.model.bridge.divergence import path_divergences
from search_cluster.model.lens.fitting.divergence import CHUNK_ROWS, candidate_divergences
from search_cluster.model.lens.fitting.held_out import HeldOutRows
from search_cluster.model.lens.fitting.ridge import STRENGTHS, RidgeSums, choose_translators
from search_cluster.model.lens.fitting.rows import NO_TOKEN, batches_of, read_rows
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.layer_path import LayerPath


def question(seed: int, context: int, *choices: int) -> list[TokenSequence]:
    """A question with choices of so many tokens; the context counts with the first one."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(4, 60, context).tolist()
    return [
        TokenSequence(
            ids=(*ids, *rng.integers(4, 60, num).tolist()), first=0 if not index else context
        )
        for index, num in enumerate(choices)
    ]


QUESTIONS = [*question(0, 11, 3, 1, 4), *question(1, 7, 2, 2), *question(2, 19, 1)]
"""The last one is a row by itself."""


def alone(model: PreTrainedModel, sequences: Sequence[TokenSequence]) -> torch.Tensor:
    return torch.cat([read_rows(model, [item]).states_SND for item in sequences], dim=1)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_rows_are_those_of_each_sequence_alone(family: str) -> None:
    model = tiny.tiny_model(family)
    found = read_rows(model, QUESTIONS)
    torch.testing.assert_close(found.states_SND, alone(model, QUESTIONS), rtol=1e-4, atol=1e-4)
    expected = [
        (token, index)
        for index, item in enumerate(QUESTIONS)
        for token in (*item.ids[item.first + 1 :], NO_TOKEN)
    ]
    assert list(zip(found.next_N.tolist(), found.sequence_N.tolist(), strict=True)) == expected


def test_a_window_is_counted_in_tokens_of_the_text() -> None:
    """Branches that stand between a token and its context do not push the context away."""
    model = tiny.tiny_model("gemma2")
    window = int(model.config.sliding_window)
    long = question(3, window - 2, *[window] * 3)
    torch.testing.assert_close(
        read_rows(model, long).states_SND, alone(model, long), rtol=1e-4, atol=1e-4
    )


def test_a_beginning_that_several_share_runs_once() -> None:
    model = tiny.tiny_model()
    with counted_rows(model.model.layers[0]) as counted:
        read_rows(model, question(0, 11, 3, 1, 4))
    assert counted.num_rows == 11 + 3 + 1 + 4
    with counted_rows(model.model.layers[0]) as counted:
        path_divergences(model, LayerPath((0, 2, 3, 4, 5), 6), [None], question(0, 11, 3, 1, 4))
    assert counted.num_rows == 11 + 3 + 1 + 4


def test_only_what_goes_on_from_the_same_beginning_shares_a_row() -> None:
    model = tiny.tiny_model()
    base = question(0, 11, 3, 1)
    others = [
        TokenSequence(ids=(*base[0].ids[:7], 5, 6), first=7),  # branches off elsewhere
        TokenSequence(ids=(9, *base[0].ids[1:11], 5), first=11),  # begins otherwise
        TokenSequence(ids=base[0].ids),  # counts from its start on
    ]
    for other in others:
        with counted_rows(model.model.layers[0]) as counted:
            found = read_rows(model, [*base, other]).states_SND
        assert counted.num_rows == 2 * (11 + 3 + 1)  # two rows, padded to the longer
        torch.testing.assert_close(found, alone(model, [*base, other]), rtol=1e-4, atol=1e-4)


def test_sequences_of_a_row_stay_in_one_pass() -> None:
    many = [item for seed in range(12) for item in question(seed, 20, 2, 2, 2)]
    for most, size in ((80, 9), (52, 6), (1, 3)):
        found = list(batches_of(many, most))
        assert {part.stop - part.start for part in found} == {size}
        assert [part.start for part in found] == list(range(0, 36, size))
        assert found[-1].stop == 36


def test_strengths_are_chosen_with_one_read_of_the_final_states() -> None:
    model = tiny.tiny_model()
    texts = [item for seed in range(12) for item in question(seed, 20, 2, 2)]
    sums = RidgeSums.of(model, {})
    states_SND = read_rows(model, texts).states_SND
    sums.add(states_SND, torch.ones(states_SND.shape[1]))
    chosen = HeldOutRows.read(model, texts, most_rows=CHUNK_ROWS).states_SND
    with counted_rows(model.lm_head) as counted:
        found = choose_translators(model, sums, chosen, STRENGTHS)
    num_reads = 1 + len(STRENGTHS) * tiny.NUM_LAYERS
    assert counted.num_rows == num_reads * chosen.shape[1]
    for depth, (strength, divergence) in enumerate(
        zip(found.strengths, found.divergence, strict=True)
    ):
        weights, biases = sums.solve(depth, STRENGTHS)
        read_C = candidate_divergences(
            model,
            chosen[-1],
            [
                chosen[depth] + chosen[depth] @ weight_DD.float().T + bias_D.float()
                for weight_DD, bias_D in zip(weights, biases, strict=True)
            ],
        )
        assert strength == STRENGTHS[int(read_C.argmin())]
        assert divergence == pytest.approx(float(read_C.min()), rel=1e-5)
