from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.loaded_tiny import loaded_tiny

from search_cluster.depth.buckets import buckets_of
from search_cluster.model.depth_states import probes as probes_module
from search_cluster.model.depth_states.path_probes import read_path
from search_cluster.model.depth_states.probes import (
    PromptProbe,
    batches_of,
    read_probes,
    sharing_their_beginning,
    table_of,
)
from search_cluster.model.depth_states.tables import LOGIT, NO_TOKEN, TUNED, ReadingTable
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath


def probe(prompt: int, length: int, positions: tuple[int, ...], num_asked: int = 1) -> PromptProbe:
    ids = tuple(int(token) for token in torch.arange(5, 5 + length))
    return PromptProbe(
        prompt=prompt,
        ids=ids,
        positions=positions,
        labels=tuple(range(len(positions))),
        asked=tuple(tuple(range(7, 7 + num_asked)) for _ in positions),
    )


PROBES = (probe(0, 9, (3, 8)), probe(1, 5, (4,), num_asked=3), probe(2, 12, (2, 3, 11)))


def test_the_last_depth_is_what_the_model_says_whatever_the_padding() -> None:
    loaded = loaded_tiny()
    table = read_probes(loaded, {LOGIT: Lens.logit(loaded.model)}, PROBES)
    readings = table.lenses[LOGIT]
    row = 0
    for item in PROBES:
        log_TV = loaded.model(torch.tensor([item.ids])).logits[0].log_softmax(-1)
        for position, asked in zip(item.positions, item.asked, strict=True):
            log_V = log_TV[position]
            assert readings.top_SN[-1, row] == table.asked_NK[row, 0] == int(log_V.argmax())
            for place, token in enumerate(asked, start=1):
                found = readings.log_probability_SNK[-1, row, place]
                assert found == pytest.approx(float(log_V[token]), abs=1e-4)
                assert readings.rank_SNK[-1, row, place] == int((log_V > log_V[token]).sum())
            row += 1
    assert (readings.divergence_SN[-1] < 1e-6).all()
    assert table.prompt_N.tolist() == [0, 0, 1, 2, 2, 2]
    assert table.label_N.tolist() == [0, 1, 0, 0, 1, 2]


def test_each_depth_is_what_the_path_of_the_first_layers_says() -> None:
    loaded = loaded_tiny()
    table = read_probes(loaded, {LOGIT: Lens.logit(loaded.model)}, PROBES[:1])
    for depth in range(1, loaded.num_layers + 1):
        prefix = materialise(loaded.model, LayerPath(tuple(range(depth)), loaded.num_layers))
        log_V = prefix(torch.tensor([PROBES[0].ids])).logits[0, 3].log_softmax(-1)
        found = table.lenses[LOGIT].log_probability_SNK[depth, 0, 1]
        assert found == pytest.approx(float(log_V[7]), abs=1e-4)


def test_positions_of_several_batches_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_tiny()
    lenses = {LOGIT: Lens.logit(loaded.model)}
    together = read_probes(loaded, lenses, PROBES).to_arrays()
    read: list[int] = []

    def counted(*arguments: Any) -> ReadingTable:
        read.append(len(arguments[2]))
        return table_of(*arguments)

    monkeypatch.setattr(probes_module, "table_of", counted)
    monkeypatch.setattr(probes_module, "BATCH_TOKENS", 1)  # each prompt is a batch
    monkeypatch.setattr(probes_module, "READ_POSITIONS", 3)
    apart = read_probes(loaded, lenses, PROBES).to_arrays()
    assert read == [2, 1]
    assert apart.keys() == together.keys()
    for name, found in apart.items():
        np.testing.assert_allclose(found, together[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_positions_that_ask_for_fewer_tokens_are_filled_up() -> None:
    loaded = loaded_tiny()
    table = read_probes(loaded, {LOGIT: Lens.logit(loaded.model)}, PROBES)
    assert table.asked_NK[0].tolist()[2:] == [NO_TOKEN, NO_TOKEN]
    readings = table.lenses[LOGIT]
    assert np.isnan(readings.log_probability_SNK[:, 0, 2:]).all()
    assert (readings.rank_SNK[:, 0, 2:] == NO_TOKEN).all()
    assert (readings.rank_SNK[:, 2] >= 0).all()


def test_masses_of_buckets_add_up_to_one() -> None:
    loaded = loaded_tiny()
    size = int(loaded.model.config.vocab_size)
    buckets = buckets_of(np.arange(size))
    table = read_probes(loaded, {LOGIT: Lens.logit(loaded.model)}, PROBES, buckets)
    mass_SNG = table.lenses[LOGIT].mass_SNG
    assert mass_SNG.shape[2] == buckets.max() + 1
    assert np.allclose(mass_SNG.sum(axis=2), 1, atol=1e-5)


def test_a_table_reads_back_from_its_arrays() -> None:
    loaded = loaded_tiny()
    table = read_probes(loaded, {LOGIT: Lens.logit(loaded.model)}, PROBES)
    again = ReadingTable.from_arrays(table.to_arrays())
    for name, values in table.to_arrays().items():
        assert np.array_equal(again.to_arrays()[name], values, equal_nan=values.dtype.kind == "f")


def test_batches_hold_neighbours_and_no_more_tokens_than_fit() -> None:
    probes = [probe(number, 900, (1,)) for number in range(5)]
    assert [len(batch) for batch in batches_of(probes)] == [2, 2, 1]


def test_along_the_plain_path_nothing_is_apart() -> None:
    loaded = loaded_tiny()
    lenses = {LOGIT: Lens.logit(loaded.model)}
    found = read_path(loaded, lenses, PROBES, LayerPath.identity(loaded.num_layers))[LOGIT]
    assert found.apart_PN.max() < 1e-6
    assert found.distance_PN.max() < 1e-5
    assert (found.rank_PN[-1] == 0).all()


def test_behind_a_skip_states_are_compared_at_the_same_depth() -> None:
    loaded = loaded_tiny()
    lenses = {LOGIT: Lens.logit(loaded.model)}
    layers = (0, 1, 3, 4, 5)
    found = read_path(loaded, lenses, PROBES, LayerPath(layers, loaded.num_layers))[LOGIT]
    assert found.apart_PN.shape == (len(layers) + 1, 6)
    assert found.apart_PN[:3].max() < 1e-6  # depths 0, 1, 2: before the skip
    assert (found.apart_PN[3] > 1e-4).all()
    assert found.prompt_N.tolist() == [0, 0, 1, 2, 2, 2]


def test_a_beginning_that_prompts_share_runs_once_and_they_read_the_same() -> None:
    loaded = loaded_tiny()
    lenses = {LOGIT: Lens.logit(loaded.model)}
    alone = (probe(0, 9, (8,)), probe(1, 14, (10, 13)), probe(2, 9, (8,)))
    alone = tuple(replace(item, ids=(*item.ids[:-1], 40 + item.prompt)) for item in alone)
    shared = sharing_their_beginning(alone)
    assert [item.shared for item in shared] == [8, 8, 8]
    assert [len(batch) for batch in batches_of(shared)] == [3]
    wanted = read_probes(loaded, lenses, alone).to_arrays()
    for name, found in read_probes(loaded, lenses, shared).to_arrays().items():
        np.testing.assert_allclose(found, wanted[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_no_position_that_is_read_is_shared_and_rows_hold_no_more_than_fits() -> None:
    assert sharing_their_beginning(()) == ()
    assert {item.shared for item in sharing_their_beginning((PROBES[0], PROBES[0]))} == {3}
    probes = sharing_their_beginning([probe(number, 900, (800,)) for number in range(13)])
    assert [len(batch) for batch in batches_of(probes)] == [12, 1]  # 800 + 12 x 100 tokens


def test_translators_of_other_depths_read_as_a_lens_made_of_them_does() -> None:
    loaded = loaded_tiny()
    logit = Lens.logit(loaded.model)
    rng = torch.Generator().manual_seed(0)
    bias_LD = torch.randn(logit.bias_LD.shape, generator=rng)
    lens = replace(logit, kind=LensKind.BIAS, bias_LD=bias_LD)
    order = (3, 0, 5, 1, 2, 4)
    wanted = read_probes(loaded, {TUNED: replace(lens, bias_LD=bias_LD[list(order)])}, PROBES)
    found = read_probes(loaded, {TUNED: lens}, PROBES, translators=(*order, 6))
    for name, values in found.to_arrays().items():
        assert np.array_equal(
            wanted.to_arrays()[name], values, equal_nan=values.dtype.kind == "f"
        ), name
