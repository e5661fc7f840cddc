"""What paths cost with the bridges that they cross."""

from search_cluster.paths.cost import BARE, PathCosts
from search_cluster.paths.jumps import Jump
from search_cluster.paths.layer_path import LayerPath

COSTS = PathCosts(bridged=frozenset({Jump(0, 3), Jump(3, 6)}), share=0.09)


def path_of(*layers: int) -> LayerPath:
    return LayerPath(layers, 6)


def test_each_crossing_of_a_bridge_counts() -> None:
    assert COSTS.layers(path_of(0, 3, 4, 5)) == 4.09
    assert COSTS.layers(path_of(0, 3, 0, 3, 4, 5)) == 6.18
    assert COSTS.layers(path_of(0, 3)) == 2.18  # the second one leads to the final norm


def test_whole_numbers_stay_whole() -> None:
    for costs, path in ((COSTS, path_of(0, 1, 4, 5)), (BARE, path_of(0, 3, 4, 5))):
        assert (costs.layers(path), type(costs.layers(path))) == (4, int)
        assert costs.crossing(path) == 0.0
