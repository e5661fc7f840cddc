import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.router_corpus import fruit_example, fruit_task, tiny_loaded

from router_train.data.features import compute_features
from router_train.data.labels import PathLabel
from router_train.data.layer_walk import pool_windows, walk_layers
from router_train.routers.base import RoutedPath
from router_train.routers.online import route_batch_online, route_online
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.online.chooser import OnlineRouting
from search_cluster.paths.layer_path import LayerPath


def test_windows_are_means_of_contiguous_tokens() -> None:
    hidden = torch.arange(10.0).unsqueeze(1)
    assert pool_windows(hidden, 4).squeeze(1).tolist() == [0.5, 3.0, 5.5, 8.0]  # 0-1, 2-4, 5-6, 7-9


def test_short_prompts_fill_several_windows_with_one_token() -> None:
    hidden = torch.tensor([[1.0], [2.0], [3.0]])
    assert pool_windows(hidden, 8).squeeze(1).tolist() == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0]
    assert pool_windows(hidden[:1], 8).squeeze(1).tolist() == [1.0] * 8


@given(num_tokens=st.integers(1, 60), num_windows=st.integers(1, 20))
def test_every_token_is_in_a_window(num_tokens: int, num_windows: int) -> None:
    means = pool_windows(
        torch.eye(num_tokens), num_windows
    )  # column t: how much of token t each window holds
    assert means.shape == (num_windows, num_tokens)
    assert bool((means.sum(dim=0) > 0).all())
    torch.testing.assert_close(means.sum(dim=1), torch.ones(num_windows))
    if num_tokens >= num_windows:
        assert bool(((means > 0).sum(dim=0) == 1).all())


def test_the_walk_runs_each_layer_as_often_as_decided_and_shows_the_states_in_between() -> None:
    loaded = tiny_loaded()
    ran: list[int] = []
    for index, layer in enumerate(loaded.model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    decisions = (1, 2, 0, 1, 2, 1)
    seen: list[torch.Tensor] = []

    def decide(layer: int, windows: torch.Tensor) -> int:
        seen.append(windows)
        return decisions[layer]

    context_ids = list(range(5, 25))
    assert walk_layers(loaded, context_ids, 4, decide) == decisions
    assert ran == [0, 1, 1, 3, 4, 4, 5]
    with torch.inference_mode():
        for layer, windows in enumerate(seen[1:], start=1):
            before = LayerPath.from_decisions((*decisions[:layer], *[0] * (6 - layer)))
            expected = last_layer_output(loaded, before, context_ids)
            torch.testing.assert_close(
                windows, pool_windows(expected, 4), msg=f"before layer {layer}"
            )


def test_routings_that_run_the_same_layers_share_them_and_see_what_they_would_see_alone() -> None:
    loaded = tiny_loaded()
    context_ids = list(range(5, 25))
    ran: list[int] = []
    for index, layer in enumerate(loaded.model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    asked = [((0,), (1,), (2, 2)), ((0, 1), (2,)), (), ((0,), (3,))]

    def routing(number: int, seen: list[torch.Tensor]) -> OnlineRouting:
        for layers in asked[number]:
            seen.append((yield layers))
        return RoutedPath(
            path=LayerPath.identity(6), confidence=number / 4, num_fallbacks=0, num_layer_tokens=1
        )

    together: list[list[torch.Tensor]] = [[] for _ in asked]
    found = route_batch_online(
        loaded, context_ids, [routing(number, together[number]) for number in range(4)]
    )
    assert sorted(ran) == [0, 1, 2, 2, 3]
    assert [routed.confidence for routed in found] == [0, 0.25, 0.5, 0.75]
    # The second one ran the layers with which its path begins, so they are those of the answer.
    assert [routed.num_layer_tokens for routed in found] == [1 + 4 * 20, 1, 1, 1 + 2 * 20]
    for number in range(4):
        alone: list[torch.Tensor] = []
        assert route_online(loaded, context_ids, routing(number, alone)) == found[number]
        assert len(alone) == len(asked[number])
        assert all(
            torch.equal(one, other) for one, other in zip(alone, together[number], strict=True)
        )


def last_layer_output(loaded: LoadedModel, path: LayerPath, context_ids: list[int]) -> torch.Tensor:
    """What the materialised path hands to the final norm. Shape ``[T, D]``."""
    view = materialise(loaded.model, path)
    kept: list[torch.Tensor] = []
    view.model.layers[-1].register_forward_hook(
        lambda _module, _inputs, output: kept.append(output)
    )
    view(torch.tensor([context_ids]), use_cache=False)
    return kept[-1][0]


def test_features_hold_windows_and_labels_in_order() -> None:
    loaded, task = tiny_loaded(), fruit_task()
    labels = [
        PathLabel(example=fruit_example(n), decisions=(1, n % 3, 1, 0, 1, 2)) for n in range(3)
    ]
    features = compute_features(
        loaded, task, labels, num_windows=4, dtype=torch.float32, description="states"
    )
    assert features.windows_NLWD.shape == (3, 6, 4, 32)
    assert features.decisions_NL.tolist() == [list(label.decisions) for label in labels]
    halves = compute_features(
        loaded, task, labels, num_windows=4, dtype=torch.float16, description="states"
    )
    assert halves.windows_NLWD.dtype is torch.float16
    torch.testing.assert_close(
        halves.windows_NLWD.float(), features.windows_NLWD, rtol=2e-3, atol=2e-3
    )


def test_states_that_do_not_fit_are_refused() -> None:
    loaded = tiny_loaded()
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight.mul_(1e7)
    label = PathLabel(example=fruit_example(0), decisions=(1,) * 6)
    with pytest.raises(ConfigError, match=r"does not fit into torch\.float16"):
        compute_features(
            loaded, fruit_task(), [label], num_windows=4, dtype=torch.float16, description="states"
        )
