"""Tests of what a choice costs that is made while the prompt runs."""

import pytest
from support.loaded_tiny import loaded_tiny

from router_train.routers.base import RoutedPath
from router_train.routers.online import cost_on_top, route_online
from search_cluster.model.online.chooser import OnlineRouting
from search_cluster.paths.layer_path import LayerPath


@pytest.mark.parametrize(
    ("layers", "ran", "cost"),
    [
        ((0, 1, 2, 5), (0, 1), 0),
        ((0, 1, 2, 5), (), 0),
        ((0, 1, 2, 5), (0, 1, 2, 5), 0),
        ((0, 2, 5), (0, 1), 14),
        ((0, 1), (0, 1, 2), 21),
    ],
)
def test_the_prompt_pass_is_counted_once(
    layers: tuple[int, ...], ran: tuple[int, ...], cost: int
) -> None:
    assert cost_on_top(LayerPath(layers, 6), ran, 7) == cost


@pytest.mark.parametrize(("layers", "cost"), [((0, 1, 3, 4), 0), ((1, 2, 3), 2 * 3)])
def test_a_choice_costs_what_its_path_has_no_use_for(layers: tuple[int, ...], cost: int) -> None:
    def routing() -> OnlineRouting:
        yield (0, 1)
        return RoutedPath(
            path=LayerPath(layers, 6), confidence=1.0, num_fallbacks=0, num_layer_tokens=0
        )

    routed = route_online(loaded_tiny(), [5, 6, 7], routing())
    assert (routed.path.layers, routed.num_layer_tokens) == (layers, cost)
