"""A path with a shortcut is one model: by hand, materialised, generating and routed."""

import pytest
import torch
from support import tiny
from support.bridges import WIDTH, bare_tiny, random_bridges
from support.path_views import (
    Taken,
    assert_cache_says_what_recomputing_does,
    path_logits,
    some_ids,
)
from support.shortcuts import NUM_HEADS, RANK, random_shortcut, shortcut_tiny
from torch import Tensor

from search_cluster.errors import InvalidValueError, ModelError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import share_of_layer
from search_cluster.model.head import float32_logits
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.online.causal_lm import with_online_routing
from search_cluster.model.online.chooser import OnlineRouting
from search_cluster.model.shortcut.attached import with_shortcut
from search_cluster.model.shortcut.shortcut import Shortcut, shortcut_cost, shortcut_of
from search_cluster.paths.layer_path import LayerPath

DTYPES = (torch.float32, torch.bfloat16)
PATHS = {
    "plain": (0, 1, 2, 3, 4, 5),
    "skips": (0, 1, 4, 5),
    "no source": (0, 2, 5),
    "repeats": (0, 1, 1, 3, 3, 4, 5),
    "out of order": (4, 3, 1, 0),
}


def path_of(name: str) -> LayerPath:
    return LayerPath(PATHS[name], tiny.NUM_LAYERS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_switched_off_it_changes_no_bit(family: str, dtype: torch.dtype) -> None:
    bare = bare_tiny(family, dtype)
    off = with_shortcut(bare, random_shortcut(off=True))
    for name in PATHS:
        assert torch.equal(
            path_logits(off.model, path_of(name)), path_logits(bare.model, path_of(name))
        )


@torch.inference_mode()
def readout_by_hand(bare: LoadedModel, shortcut: Shortcut, path: LayerPath) -> Tensor:
    """The formula of the module's docstring, for one row after the other."""
    by_hand = LayerwisePass(bare.model, some_ids())
    changes: dict[int, Tensor] = {}
    for layer in path.layers:
        before = by_hand.hidden_BTD
        by_hand.step(layer)
        changes[layer] = (by_hand.hidden_BTD - before)[0]
    parts = {name: tensor.double() for name, tensor in shortcut.tensors().items()}
    read = []
    for row, x in enumerate(by_hand.hidden_BTD[0].double()):
        size = x.square().mean().sqrt()
        q = parts["query_RD"] @ (x / size / parts["state_size_D"])
        z = torch.zeros(len(shortcut.sources), RANK, dtype=torch.float64)
        for place, layer in enumerate(shortcut.sources):
            if layer in changes:
                d = changes[layer][row].double()
                even = d / d.square().mean().sqrt() / parts["change_size_SD"][place]
                inner = parts["down_SRD"][place] @ even + parts["down_bias_SR"][place]
                z[place] = parts["up_SRR"][place] @ inner.clamp(min=0)
        said = torch.zeros(RANK, dtype=torch.float64)
        size_of_head = RANK // NUM_HEADS
        for head in range(NUM_HEADS):
            own = slice(head * size_of_head, (head + 1) * size_of_head)
            scores = z[:, own] @ q[own] / size_of_head**0.5 + parts["source_bias_HS"][head]
            said[own] = scores.softmax(dim=0) @ z[:, own]
        read.append(x + size * parts["deviation_D"] * (parts["output_DR"] @ said))
    by_hand.hidden_BTD = torch.stack(read)[None].float()
    return by_hand.logits(slice(None))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_readout_is_its_formula(family: str, name: str) -> None:
    bare, loaded, path = bare_tiny(family), shortcut_tiny(family), path_of(name)
    expected = readout_by_hand(bare, random_shortcut(), path)
    torch.testing.assert_close(path_logits(loaded.model, path), expected, rtol=1e-3, atol=1e-3)
    with torch.inference_mode():
        layerwise = LayerwisePass(loaded.model, some_ids())
        for layer in path.layers:
            layerwise.step(layer)
        torch.testing.assert_close(layerwise.logits(slice(None)), expected, rtol=1e-3, atol=1e-3)
    changed = bool((path_logits(bare.model, path) - expected).abs().max() > 0.01)
    # Where no source ran, all keys are zero: nothing is read, and nothing changes.
    assert changed == (name != "no source")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.QUICK_FAMILIES)
def test_generating_with_a_cache_says_what_recomputing_does(
    family: str, dtype: torch.dtype
) -> None:
    view = materialise(shortcut_tiny(family, dtype).model, path_of("repeats"))
    assert_cache_says_what_recomputing_does(view, 4)


@pytest.mark.parametrize("family", tiny.QUICK_FAMILIES)
def test_a_routed_batch_says_what_each_path_does_alone(family: str) -> None:
    """One row begins along a source that it does not take in the end, so it starts again."""
    loaded, names = shortcut_tiny(family), ("skips", "repeats", "plain")
    prompts = [tuple(range(20 + place, 32 + place)) for place in range(len(names))]

    def begin(ids: tuple[int, ...]) -> OnlineRouting:
        name = names[prompts.index(ids)]
        if name == "skips":
            yield (0, 1, 3)
        return Taken(path_of(name))

    routed = with_online_routing(loaded.model, begin)
    with torch.inference_mode():
        said = routed(torch.tensor(prompts), past_key_values=(cache := OnlineCache())).logits
        token = torch.tensor([[40]] * len(names))
        later = routed(token, past_key_values=cache).logits
        for row, (ids, name) in enumerate(zip(prompts, names, strict=True)):
            view = materialise(loaded.model, path_of(name))
            alone = view(torch.tensor([[*ids, 40]]), use_cache=False).logits[0]
            torch.testing.assert_close(said[row], alone[:-1], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(later[row], alone[-1:], rtol=1e-4, atol=1e-4)


def test_bridges_are_crossed_before_the_readout() -> None:
    """The change of a layer begins behind the bridge to it, and the readout behind the last."""
    bridged = with_bridges(bare_tiny(), random_bridges())
    both = with_shortcut(bridged, random_shortcut())
    path = LayerPath((0, 3, 4), tiny.NUM_LAYERS)
    with torch.inference_mode():
        layerwise = LayerwisePass(both.model, some_ids())
        for layer in path.layers:
            layerwise.step(layer)
        expected = layerwise.logits(slice(None))
        through = float32_logits(both.model, both.model.model.norm(layerwise.final_states))
        torch.testing.assert_close(through, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(path_logits(both.model, path), expected, rtol=1e-4, atol=1e-4)
    off = with_shortcut(bridged, random_shortcut(off=True))
    assert torch.equal(path_logits(off.model, path), path_logits(bridged.model, path))
    assert not torch.allclose(expected, path_logits(bridged.model, path), atol=0.01)


def test_it_is_another_model() -> None:
    bare = bare_tiny()
    one, other = (with_shortcut(bare, random_shortcut(seed=seed)) for seed in (0, 1))
    assert len({bare.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert one.fingerprint == with_shortcut(bare, random_shortcut()).fingerprint
    assert shortcut_of(bare.model) is None
    assert shortcut_of(one.model) is not None
    assert shortcut_of(materialise(one.model, path_of("plain"))) is None
    with pytest.raises(ModelError, match="has a shortcut already"):
        with_shortcut(one, random_shortcut())
    with pytest.raises(ModelError, match=r"from layers \(1, 9\) does not fit model"):
        with_shortcut(bare, random_shortcut((1, 9)))


def test_shapes_and_sources_have_to_fit() -> None:
    tensors = random_shortcut().tensors()
    with pytest.raises(InvalidValueError, match=r"sources are \(3, 1, 4\); they are layers in asc"):
        Shortcut((3, 1, 4), NUM_HEADS, tensors)
    with pytest.raises(InvalidValueError, match=r"down_SRD has shape \(3, 8, 32\)"):
        Shortcut((1, 3), NUM_HEADS, tensors)
    with pytest.raises(InvalidValueError, match="a shortcut has tensors down_SRD"):
        Shortcut((1, 3), NUM_HEADS, {"query_RD": tensors["query_RD"]})
    odd = {**tensors, "source_bias_HS": torch.zeros(3, 3)}
    with pytest.raises(InvalidValueError, match="rank 8 is no multiple of the number of heads, 3"):
        Shortcut((1, 3, 4), 3, odd)


def test_its_cost_counts_the_sources_that_run() -> None:
    loaded = shortcut_tiny()
    share = share_of_layer(loaded.model) / WIDTH**2
    ends = 2 * RANK * WIDTH
    assert shortcut_cost(loaded.model, (0, 1, 1, 4)) == pytest.approx(
        share * (3 * RANK * (WIDTH + RANK) + ends)
    )
    assert shortcut_cost(loaded.model, (0, 2)) == pytest.approx(share * ends)
    assert shortcut_cost(bare_tiny().model, (0, 1)) == 0.0
