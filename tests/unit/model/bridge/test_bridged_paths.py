"""A bridged path is one model, whoever runs it: by hand, materialised, generating, routed."""

from itertools import pairwise

import pytest
import torch
from support import tiny
from support.bridges import (
    ALL_JUMPS,
    WIDTH,
    bare_tiny,
    bridged_tiny,
    random_bridges,
    zero_bridges,
)
from support.path_views import (
    Taken,
    assert_cache_says_what_recomputing_does,
    path_logits,
    some_ids,
)

from search_cluster.errors import InvalidValueError, ModelError
from search_cluster.model.anatomy import layer_type_of
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import (
    Bridge,
    Bridges,
    bridges_of,
    path_costs,
    share_of_layer,
)
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.load.fingerprint import fingerprint_of
from search_cluster.model.materialise import materialise
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.online.causal_lm import with_online_routing
from search_cluster.model.online.chooser import OnlineRouting
from search_cluster.paths.cost import BARE
from search_cluster.paths.jumps import Jump, steps_of
from search_cluster.paths.layer_path import LayerPath

DTYPES = (torch.float32, torch.bfloat16)
PATHS = {
    "inside": (0, 1, 4, 5),
    "head": (2, 3, 4, 5),
    "tail": (0, 1, 2, 3),
    "several": (0, 3, 3, 1, 4),
    "none": (0, 1, 1, 2, 3, 4, 5),
}


def path_of(layers: tuple[int, ...]) -> LayerPath:
    return LayerPath(layers, tiny.NUM_LAYERS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_bridges_of_zeros_change_no_bit(family: str, dtype: torch.dtype) -> None:
    bare = bare_tiny(family, dtype)
    zero = with_bridges(bare, zero_bridges(ALL_JUMPS, WIDTH))
    for layers in PATHS.values():
        path = path_of(layers)
        assert torch.equal(path_logits(zero.model, path), path_logits(bare.model, path))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_bridge_is_crossed_between_the_layers_of_its_jump(family: str, name: str) -> None:
    """The maps are applied here by hand, to the states of a pass that knows of no bridges."""
    path, bridges = path_of(PATHS[name]), random_bridges()
    bare = bare_tiny(family)
    with torch.inference_mode():
        plain = LayerwisePass(bare.model, some_ids())
        for before, after in steps_of(path):
            if after > before + 1:
                weight_DD, bias_D = bridges.tensors(Jump(before, after))
                plain.hidden_BTD = plain.hidden_BTD + plain.hidden_BTD @ weight_DD.T + bias_D
            if after < tiny.NUM_LAYERS:
                plain.step(after)
        expected = plain.logits(slice(None))
        loaded = with_bridges(bare, bridges)
        by_hand = LayerwisePass(loaded.model, some_ids())
        for layer in path.layers:
            by_hand.step(layer)
    torch.testing.assert_close(by_hand.logits(slice(None)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(path_logits(loaded.model, path), expected, rtol=1e-4, atol=1e-4)
    changed = bool((path_logits(bare.model, path) - expected).abs().max() > 0.01)
    assert changed == (name != "none")


def test_tests_know_the_layer_types_of_their_families() -> None:
    """Windows are shorter than the prompts, so that masks of a bridged path matter."""
    types = {layer_type_of(tiny.tiny_config("gemma3_text"), layer) for layer in range(6)}
    assert types == {"full_attention", "sliding_attention"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_generating_with_a_cache_says_what_recomputing_does(
    family: str, dtype: torch.dtype
) -> None:
    view = materialise(bridged_tiny(family, dtype).model, path_of(PATHS["several"]))
    assert_cache_says_what_recomputing_does(view, 5)


def test_generate_takes_the_bridges() -> None:
    loaded, path = bridged_tiny(), path_of(PATHS["several"])
    options = {"max_new_tokens": 6, "do_sample": False}
    bridged = materialise(loaded.model, path).generate(some_ids(), **options)  # type: ignore[operator]
    bare = materialise(bare_tiny().model, path).generate(some_ids(), **options)  # type: ignore[operator]
    assert not torch.equal(bridged, bare)


@pytest.mark.parametrize("family", ["llama", "gemma2", "mistral", "qwen2_moe"])
def test_rows_of_a_routed_batch_cross_their_own_bridges(family: str) -> None:
    """Rows part and meet again; one has run layers in vain and starts again."""
    loaded = bridged_tiny(family)
    paths = [path_of(layers) for layers in PATHS.values()]
    prompts = [tuple(range(30 + number, 40 + number)) for number in range(len(paths))]
    by_prompt = dict(zip(prompts, paths, strict=True))

    def begin(context_ids: tuple[int, ...]) -> OnlineRouting:
        if context_ids == prompts[0]:
            yield (2, 4)  # which no path begins with
        return Taken(by_prompt[context_ids])

    routed, cache = with_online_routing(loaded.model, begin), OnlineCache()
    ids_BT, options = torch.tensor(prompts), {"max_new_tokens": 5, "do_sample": False}
    said = routed.generate(ids_BT, past_key_values=cache, **options)  # type: ignore[operator]
    assert [choice.path for choice in cache.choices] == paths
    assert cache.discarded_layer_tokens[0] > 0
    for row, path in enumerate(paths):
        alone = materialise(loaded.model, path).generate(ids_BT[[row]], **options)  # type: ignore[operator]
        assert torch.equal(said[[row]], alone), str(path)


def test_a_view_is_not_bridged_twice() -> None:
    view = materialise(bridged_tiny().model, path_of(PATHS["several"]))
    assert bridges_of(view) is None


def test_bridges_make_another_model_of_it() -> None:
    bare = bare_tiny()
    bridged = with_bridges(bare, random_bridges())
    assert bridges_of(bare.model) is None
    assert bridges_of(bridged.model) is not None
    other = with_bridges(bare, random_bridges(seed=1))
    zero = with_bridges(bare, zero_bridges(ALL_JUMPS, WIDTH))
    fewer = with_bridges(bare, random_bridges(ALL_JUMPS[:-1]))
    fingerprints = [item.fingerprint for item in (bare, bridged, other, zero, fewer)]
    assert len(set(fingerprints)) == len(fingerprints)
    assert bridged.former_fingerprints == ()
    assert with_bridges(bare, random_bridges()).fingerprint == bridged.fingerprint
    assert bridged.fingerprint != fingerprint_of(bridged.parts)  # it covers the model's own
    differences = bridged.identity.differences({"dtype": "float32"})
    assert "bridges" in differences


def test_bridges_of_another_model_are_refused() -> None:
    bare = bare_tiny()
    wide = zero_bridges([Jump(0, 2)], 16)
    with pytest.raises(ModelError, match="bridges of width 16 that reach layer 2 do not fit"):
        with_bridges(bare, wide)
    with pytest.raises(ModelError, match="reach layer 9 do not fit"):
        with_bridges(bare, zero_bridges([Jump(0, 9)], WIDTH))
    with pytest.raises(ModelError, match="has bridges already"):
        with_bridges(bridged_tiny(), random_bridges())
    with pytest.raises(InvalidValueError, match="0 bridges"):
        Bridges({})
    with pytest.raises(InvalidValueError, match="a bridge has a weight"):
        Bridge(torch.zeros(3, 2), torch.zeros(3))


def test_the_cost_of_a_path_counts_each_bridge_it_crosses() -> None:
    loaded = with_bridges(bare_tiny(), random_bridges([Jump(0, 3)]))
    share = share_of_layer(loaded.model)
    weights = 2 * (32 * 32 + 32 * 16) + 3 * 32 * 64
    assert share == pytest.approx(32 * 32 / weights)
    twice = path_of((0, 3, 0, 3, 4, 5))
    assert path_costs(loaded.model).layers(twice) == pytest.approx(6 + 2 * share, abs=1e-6)
    assert path_costs(bare_tiny().model) == BARE


def test_all_jumps_are_all() -> None:
    pairs = pairwise((-1, 0, 3, 3, 1, 4, 6))
    assert {pair for pair in pairs if pair[1] > pair[0] + 1} <= set(ALL_JUMPS)
    assert len(ALL_JUMPS) == 21
