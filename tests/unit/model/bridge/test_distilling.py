"""Distilled bridges: what they learn from, when they stop, and how they go on."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from support import tiny
from support.bridges import WIDTH, bare_tiny, random_bridges
from torch.nn.functional import kl_div

from search_cluster.bridged_spec import BridgeKind
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.bridge.distilling import (
    Distillation,
    DistillationSettings,
    distil_bridges,
)
from search_cluster.model.bridge.divergence import mean_divergences
from search_cluster.model.bridge.fitting import BridgeFit, choosing_texts, fit_bridges
from search_cluster.model.bridge.folder import load_bridges, read_bridges_record, save_bridges
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.fitting.unfinished import UnfinishedFit
from search_cluster.model.lens.sampled import texts_of_model
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.paths.jumps import jumps_of
from search_cluster.paths.layer_path import LayerPath

PATH = LayerPath((0, 1, 4), tiny.NUM_LAYERS)
"""With a jump inside and one to the final norm."""
OTHER = LayerPath((2, 1, 4, 4, 5), tiny.NUM_LAYERS)
"""With a jump from the embedding, another that `PATH` has, too, and a layer that runs twice."""
SETTINGS = DistillationSettings(num_epochs=2, rate=3e-3, steps_per_reading=2)


def sequences(loaded: LoadedModel, num_texts: int = 120, seed: int = 0) -> Sequence[TokenSequence]:
    return texts_of_model(loaded, num_tokens=num_texts * 30, length=30, seed=seed).sequences


@cache
def closed_fit(
    family: str = "llama",
    dtype: torch.dtype = torch.float32,
    paths: tuple[LayerPath, ...] = (PATH,),
) -> BridgeFit:
    loaded = bare_tiny(family, dtype)
    return fit_bridges(loaded.model, paths, sequences(loaded))


def distilled(
    family: str = "llama",
    dtype: torch.dtype = torch.float32,
    settings: DistillationSettings = SETTINGS,
    *,
    paths: tuple[LayerPath, ...] = (PATH,),
    unfinished: UnfinishedFit | None = None,
) -> Distillation:
    loaded = bare_tiny(family, dtype)
    return distil_bridges(
        loaded.model,
        paths,
        sequences(loaded),
        closed_fit(family, dtype, paths),
        settings=settings,
        unfinished=unfinished,
    )


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=[] if name in tiny.QUICK_FAMILIES else [pytest.mark.slow])
        for name in tiny.FAMILIES
    ],
)
def test_what_is_chosen_is_never_further_than_what_it_began_with(
    family: str, dtype: torch.dtype
) -> None:
    loaded = bare_tiny(family, dtype)
    found = distilled(family, dtype, replace(SETTINGS, num_epochs=1), paths=(PATH, OTHER))
    assert found.divergence < found.divergence_before
    assert found.best_step > 0
    choosing = choosing_texts(split_sequences(sequences(loaded)).held_out)
    for bridges, said in (
        (found.fit.bridges, found.divergence),
        (found.fit.at_equal_cost[BridgeKind.LINEAR], found.divergence_before),
    ):
        (read,) = mean_divergences(loaded.model, [PATH, OTHER], [bridges], choosing)
        assert read == pytest.approx(said, rel=1e-6)
    assert found.fit.bridges.jumps == tuple(sorted({*jumps_of(PATH), *jumps_of(OTHER)}))


def test_a_step_follows_the_divergence_of_the_materialised_path() -> None:
    """The first step of Adam goes down the gradient's signs, in the scale of the states."""
    loaded, start = bare_tiny(), closed_fit().bridges
    settings = DistillationSettings(num_epochs=1, rate=1e-3, steps_per_reading=1, patience=1)
    taught = split_sequences(sequences(loaded)).fitted[:5]
    texts = [*taught, *sequences(loaded, 4, seed=7)]  # nine texts, of which the last is held out
    fitted = replace(closed_fit(), bridges=start)
    found = distil_bridges(loaded.model, [PATH], texts, fitted, settings=settings)
    bias_of = {jump: start.tensors(jump)[1].clone().requires_grad_() for jump in start.jumps}
    bridged = with_bridges(loaded, Bridges({jump: start.tensors(jump) for jump in start.jumps}))
    for jump, bias_D in bias_of.items():
        bridge = bridged.model.model.bridges.at(*jump)
        bridge.bias_D = bias_D
    total, path = torch.zeros(()), materialise(bridged.model, PATH)
    for item in texts[:-1]:
        ids_BT = torch.tensor([item.ids])
        full = loaded.model(ids_BT).logits.log_softmax(-1)
        said = path(ids_BT).logits.log_softmax(-1)
        total = total + kl_div(said, full, log_target=True, reduction="sum")
    gradients = torch.autograd.grad(total, list(bias_of.values()))
    moved = found.fit.bridges if found.best_step else None
    assert moved is not None
    for jump, gradient_D in zip(bias_of, gradients, strict=True):
        # c takes the rate against the sign of its gradient, and what V moves is centred on the
        # mean state: so a state at the mean moves by exactly the step of c.
        weight_DD, bias_D = moved.tensors(jump)
        old_weight_DD, old_bias_D = start.tensors(jump)
        states = torch.cat([_states_before(loaded, item, jump.before) for item in texts[:-1]])
        mean_D = states.mean(dim=0)
        step_D = (weight_DD - old_weight_DD) @ mean_D + bias_D - old_bias_D
        unit = states.std(dim=0, correction=0).median()
        large_D = gradient_D.abs() > gradient_D.abs().median()
        torch.testing.assert_close(
            step_D[large_D], -1e-3 * unit * gradient_D.sign()[large_D], rtol=1e-2, atol=1e-6
        )


def _states_before(loaded: LoadedModel, item: TokenSequence, before: int) -> torch.Tensor:
    with torch.inference_mode():
        found = loaded.model(torch.tensor([item.ids]), output_hidden_states=True)
    return found.hidden_states[before + 1][0].clone()


def test_on_fresh_texts_they_are_nearer_to_the_full_model_than_the_closed_form() -> None:
    loaded = bare_tiny()
    found = distilled(settings=replace(SETTINGS, num_epochs=4))
    fresh = sequences(loaded, 20, seed=9)
    candidates = [found.fit.bridges, found.fit.at_equal_cost[BridgeKind.LINEAR], None]
    trained, linear, alone = mean_divergences(loaded.model, [PATH], candidates, fresh)
    assert trained < linear < alone
    assert set(found.fit.at_equal_cost) == set(BridgeKind) - {BridgeKind.DISTILLED}
    assert found.start is BridgeKind.LINEAR


def test_it_begins_with_nothing_where_the_closed_form_is_further_than_the_path_alone() -> None:
    loaded = bare_tiny()
    wild = Bridges(
        {
            jump: (10 * weight_DD, 10 * bias_D)
            for jump in jumps_of(PATH)
            for weight_DD, bias_D in (random_bridges().tensors(jump),)
        }
    )
    found = distil_bridges(
        loaded.model,
        [PATH],
        sequences(loaded),
        replace(closed_fit(), bridges=wild),
        settings=SETTINGS,
    )
    choosing = choosing_texts(split_sequences(sequences(loaded)).held_out)
    (alone,) = mean_divergences(loaded.model, [PATH], [None], choosing)
    assert found.start is None
    assert found.divergence_before == pytest.approx(alone, rel=1e-6)
    assert found.divergence < alone


def test_it_stops_where_nothing_gets_better_and_gives_back_the_start() -> None:
    found = distilled(settings=replace(SETTINGS, rate=100.0, num_epochs=40, patience=2))
    assert (found.best_step, found.num_steps) == (0, 4)
    linear = found.fit.at_equal_cost[BridgeKind.LINEAR]
    for jump in linear.jumps:
        for got, expected in zip(
            found.fit.bridges.tensors(jump), linear.tensors(jump), strict=True
        ):
            assert torch.equal(got, expected)
    assert found.fit.bridges.kind is BridgeKind.DISTILLED
    assert found.fit.bridges.digest != linear.digest


def test_the_same_texts_give_the_same_maps_also_when_it_was_interrupted(tmp_path: Path) -> None:
    whole = distilled()
    assert distilled().fit.bridges.digest == whole.fit.bridges.digest
    other = distilled(settings=replace(SETTINGS, seed=1))
    assert other.fit.bridges.digest != whole.fit.bridges.digest

    class StoppedError(Exception):
        pass

    told: list[int] = []

    def stop(step: int, _: int) -> None:
        told.append(step)
        if step == 5:
            raise StoppedError

    loaded = bare_tiny()

    def unfinished() -> UnfinishedFit:
        return UnfinishedFit(tmp_path / "descent", {"texts": 1}, pause_s=0)

    for num_told in (5, whole.num_steps):
        with contextlib.suppress(StoppedError):
            again = distil_bridges(
                loaded.model,
                [PATH],
                sequences(loaded),
                closed_fit(),
                settings=SETTINGS,
                unfinished=unfinished(),
                progress=stop,
            )
        assert len(told) == num_told
    assert told == list(range(1, whole.num_steps + 1))
    assert again.fit.bridges.digest == whole.fit.bridges.digest
    assert (again.best_step, again.divergence) == (whole.best_step, whole.divergence)


def test_a_folder_keeps_the_kind(tmp_path: Path) -> None:
    found = distilled().fit.bridges
    save_bridges(tmp_path, found, bare_tiny())
    assert read_bridges_record(tmp_path).kind is BridgeKind.DISTILLED
    read = load_bridges(tmp_path, bare_tiny())
    assert read.digest == found.digest
    assert read.width == WIDTH
    linear = Bridges({jump: found.tensors(jump) for jump in found.jumps})
    parts = [with_bridges(bare_tiny(), item).fingerprint for item in (read, found, linear)]
    assert parts[0] == parts[1] != parts[2]
