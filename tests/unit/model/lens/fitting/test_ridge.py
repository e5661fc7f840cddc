import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny
from support.model_doubles import loaded_tiny
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.lens.fitting.divergence import candidate_divergences
from search_cluster.model.lens.fitting.held_out import HeldOutRows, split_sequences
from search_cluster.model.lens.fitting.ridge import RidgeSums, fit_ridge
from search_cluster.model.lens.fitting.rows import NO_TOKEN, batches_of, read_rows
from search_cluster.model.lens.fitting.unfinished import Progress, UnfinishedFit
from search_cluster.model.lens.fitting.weights import TokenWeights, WeighedBy
from search_cluster.model.lens.folder import lens_digest
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.states import walk_states
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.layer_path import LayerPath

NUM_DEPTHS = tiny.NUM_LAYERS + 1


def sequences_of(
    model: PreTrainedModel, num_tokens: int = 80 * 24, seed: int = 0
) -> tuple[TokenSequence, ...]:
    return texts_of_model(loaded_tiny(model), num_tokens=num_tokens, length=24, seed=seed).sequences


def divergences(model: PreTrainedModel, lens: Lens, rows: HeldOutRows, off: int = 0) -> Tensor:
    """The divergence at each depth that has a translator ``off`` further."""
    final_ND = rows.states_SND[-1]
    depths = [i for i in range(tiny.NUM_LAYERS) if 0 <= i + off < tiny.NUM_LAYERS]
    return torch.cat(
        [
            candidate_divergences(
                model, final_ND, [lens.translate(rows.states_SND[depth], depth + off)]
            )
            for depth in depths
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=[] if name in tiny.QUICK_FAMILIES else [pytest.mark.slow])
        for name in tiny.FAMILIES
    ],
)
def test_a_ridge_lens_is_nearer_to_the_end_than_the_logit_lens(
    family: str, dtype: torch.dtype
) -> None:
    model = tiny.tiny_model(family).to(dtype)
    lens = fit_ridge(model, sequences_of(model)).lens
    rows = HeldOutRows.read(model, sequences_of(model, 20 * 24, seed=1))
    tuned, logit = divergences(model, lens, rows), divergences(model, Lens.logit(model), rows)
    assert bool((tuned < logit).all()), (tuned, logit)


def plain_ridge(states: Tensor, final: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The minimiser from the normal equations of centred rows."""
    h, z = states.double().numpy(), final.double().numpy()
    hc, yc = h - h.mean(0), (z - h) - (z - h).mean(0)
    square = hc.T @ hc / len(h)
    unit = np.sort(np.diag(square))[(len(square) - 1) // 2]
    weight = np.linalg.solve(square + strength * unit * np.eye(len(square)), hc.T @ yc / len(h)).T
    bias = (z - h).mean(0) - weight @ h.mean(0)
    return torch.from_numpy(weight), torch.from_numpy(bias)


def test_the_solution_is_that_of_the_normal_equations() -> None:
    model = tiny.tiny_model()
    sequences = sequences_of(model)
    fit = fit_ridge(model, sequences)
    rows = read_rows(model, split_sequences(sequences).fitted)
    assert fit.num_rows == rows.states_SND.shape[1]
    for depth, strength in enumerate(fit.strengths):
        weight, bias = plain_ridge(rows.states_SND[depth], rows.states_SND[-1], strength)
        assert torch.allclose(fit.lens.weight_LDD[depth].double(), weight, atol=1e-3)
        assert torch.allclose(fit.lens.bias_LD[depth].double(), bias, atol=1e-2)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_translator_one_off_reads_worse_where_translators_differ(off: int) -> None:
    """The state before layer i is read by translator i; published scripts took i - 1."""
    model = tiny.tiny_model()
    lens = fit_ridge(model, sequences_of(model)).lens
    rows = HeldOutRows.read(model, sequences_of(model, 20 * 24, seed=1))
    right = divergences(model, lens, rows)
    right = right[1:] if off < 0 else right[:-1]
    assert bool((divergences(model, lens, rows, off) > right).all())


def test_a_constructed_lens_shows_which_state_a_translator_is_fitted_to() -> None:
    """Layers that each add a constant: translator i must add what layers i, i + 1, ... add."""
    model = tiny.tiny_model()
    steps = torch.arange(1.0, tiny.NUM_LAYERS + 1)
    for layer, step in zip(model.model.layers, steps.tolist(), strict=True):
        layer.forward = lambda hidden, step=step, **_: hidden + step
    lens = fit_ridge(model, sequences_of_ids(40)).lens
    for depth in range(tiny.NUM_LAYERS):
        rest = float(steps[depth:].sum())
        hidden_ND = read_rows(model, sequences_of_ids(3)).states_SND[depth]
        assert torch.allclose(lens.translate(hidden_ND, depth), hidden_ND + rest, atol=1e-3)
        assert lens.weight_LDD[depth].abs().max() < 1e-4


def sequences_of_ids(number: int, length: int = 16) -> tuple[TokenSequence, ...]:
    rng = np.random.default_rng(number)
    ids = rng.integers(4, tiny.VOCAB_SIZE, (number, length))
    return tuple(TokenSequence(ids=tuple(map(int, row))) for row in ids)


def test_the_same_texts_give_the_same_lens() -> None:
    model = tiny.tiny_model()
    sequences = sequences_of(model)
    digest = lens_digest(fit_ridge(model, sequences).lens)
    assert digest == lens_digest(fit_ridge(model, sequences).lens)
    assert digest != lens_digest(fit_ridge(model, sequences[1:]).lens)


class KillError(Exception):
    pass


def killed_after(number: int) -> Progress:
    def progress(what: str, done: int, total: int) -> None:
        if what == "texts" and done >= number:
            raise KillError

    return progress


@pytest.mark.parametrize("kills", [(20,), (1, 45, 70), (72,)])
def test_a_fit_that_was_killed_goes_on_to_the_same_lens(
    tmp_path: Path, kills: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_cluster.model.lens.fitting.rows.ROWS_PER_PASS", 100)
    model = tiny.tiny_model()
    sequences = sequences_of(model)
    whole = lens_digest(fit_ridge(model, sequences).lens)
    unfinished = UnfinishedFit(tmp_path / "fit", {"texts": 1}, pause_s=0.0)
    for number in kills:
        with pytest.raises(KillError):
            fit_ridge(model, sequences, unfinished=unfinished, progress=killed_after(number))
    done, _ = unfinished.read()
    assert done >= min(kills[-1], 68)
    told: list[tuple[str, int]] = []
    fit = fit_ridge(
        model,
        sequences,
        unfinished=unfinished,
        progress=lambda what, done, total: told.append((what, done)),
    )
    assert lens_digest(fit.lens) == whole
    assert told[0] == ("texts", done)
    assert told[-1] == ("depths", tiny.NUM_LAYERS)


def test_sums_of_other_inputs_are_not_gone_on_from(tmp_path: Path) -> None:
    model = tiny.tiny_model()
    one = UnfinishedFit(tmp_path / "fit", {"texts": 1}, pause_s=0.0)
    one.keep(3, RidgeSums.of(model, {}).state(), now=True)
    assert one.read()[0] == 3
    assert UnfinishedFit(tmp_path / "fit", {"texts": 2}, pause_s=0.0).read() == (0, {})
    (tmp_path / "fit").write_bytes(b"damaged")
    assert one.read() == (0, {})
    one.remove()
    assert one.read() == (0, {})


def test_sums_of_other_passes_over_the_same_texts_are_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = UnfinishedFit(tmp_path / "fit", {"texts": 1}, pause_s=0.0)
    before.keep(3, RidgeSums.of(tiny.tiny_model(), {}).state(), now=True)
    version = "search_cluster.model.lens.fitting.unfinished.PASSES_VERSION"
    monkeypatch.setattr(version, 1000)
    assert UnfinishedFit(tmp_path / "fit", {"texts": 1}, pause_s=0.0).read() == (0, {})
    monkeypatch.undo()
    assert UnfinishedFit(tmp_path / "fit", {"texts": 1}, pause_s=0.0).read()[0] == 3


def test_padding_and_rows_that_do_not_count_change_nothing() -> None:
    model = tiny.tiny_model()
    long, short = sequences_of_ids(2)
    short = TokenSequence(ids=short.ids[:9], first=4)
    together = read_rows(model, (long, short))
    assert together.states_SND.shape[:2] == (NUM_DEPTHS, 16 + 5)
    assert together.next_N.tolist() == [*long.ids[1:], NO_TOKEN, *short.ids[5:], NO_TOKEN]
    path = LayerPath.identity(tiny.NUM_LAYERS)
    with torch.inference_mode():
        alone = torch.stack([h[0, 4:] for h in walk_states(model, torch.tensor([short.ids]), path)])
    assert torch.allclose(together.states_SND[:, 16:], alone, atol=1e-4)


def test_passes_take_sequences_in_order_and_never_too_many_rows() -> None:
    sequences = [
        TokenSequence(ids=tuple(range(1, length + 1))) for length in (500, 500, 900, 30, 2000, 5)
    ]
    slices = list(batches_of(sequences))
    assert [item.start for item in slices] == [0, *(item.stop for item in slices[:-1])]
    assert [(item.start, item.stop) for item in slices] == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]


def test_a_tenth_of_the_texts_is_held_out_and_choices_of_a_question_stay_together() -> None:
    sequences = [TokenSequence(ids=(number, 1), first=number % 2) for number in range(40)]
    split = split_sequences(sequences)
    assert [item.ids[0] for item in split.held_out] == [18, 19, 38, 39]
    assert len(split.fitted) == 36
    assert len(split_sequences(sequences[:6]).held_out) == 2
    with pytest.raises(InvalidValueError, match="at least 2"):
        split_sequences(sequences[:2])


def test_rows_that_choose_are_spread_over_the_texts() -> None:
    model = tiny.tiny_model()
    sequences = sequences_of_ids(80)
    rows = HeldOutRows.read(model, sequences, most_rows=100)
    assert rows.states_SND.shape[1] == rows.next_N.shape[0] == -(-80 * 16 // 13)
    assert torch.equal(rows.next_N, read_rows(model, sequences).next_N[::13])


@pytest.mark.parametrize("by", list(WeighedBy))
def test_rows_of_a_token_can_count_less(by: WeighedBy) -> None:
    model = tiny.tiny_model()
    sequences = sequences_of_ids(40)
    rows = read_rows(model, sequences)
    token_N = (
        rows.next_N
        if by is WeighedBy.TARGET
        else model.lm_head(model.model.norm(rows.states_SND[-1])).argmax(-1)
    )
    token = int(token_N[token_N >= 0].mode().values)
    weights = TokenWeights(by_token={token: 0.001}, by=by)
    weight_N = weights.of_rows(model, rows.states_SND[-1], rows.next_N)
    assert torch.equal(weight_N, torch.where(token_N == token, 0.001, 1.0))
    plain, weighed = fit_ridge(model, sequences), fit_ridge(model, sequences, weights=weights)
    assert lens_digest(plain.lens) != lens_digest(weighed.lens)


def test_a_row_of_weight_zero_is_as_if_it_were_not_there() -> None:
    model = tiny.tiny_model()
    rows = read_rows(model, sequences_of_ids(10))
    weight_N = (torch.arange(160) % 3 > 0).float()
    with_zeros, without = RidgeSums.of(model, {}), RidgeSums.of(model, {})
    with_zeros.add(rows.states_SND, weight_N)
    without.add(rows.states_SND[:, weight_N > 0], torch.ones(int(weight_N.sum())))
    for one, other in zip(with_zeros.solve(2, (1.0,)), without.solve(2, (1.0,)), strict=True):
        assert torch.allclose(one[0], other[0], atol=1e-5)


def test_a_weight_is_not_negative() -> None:
    with pytest.raises(InvalidValueError, match="at least 0"):
        dataclasses.replace(TokenWeights(), by_token={1: -0.5})
