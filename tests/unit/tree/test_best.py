from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.best import best_paths, pareto_front


def test_best_paths_of_a_right_identity_are_the_shorter_right_ones() -> None:
    identity, shorter, longer = (
        LayerPath.identity(3),
        LayerPath((0, 2), 3),
        LayerPath((0, 1, 1, 2), 3),
    )
    assert best_paths([(identity, 1.0), (longer, 1.0), (shorter, 1.0)], num_best=5) == [shorter]
    assert best_paths([(identity, 1.0), (longer, 1.0), (shorter, 0.0)], num_best=5) == [identity]


def test_best_paths_of_a_wrong_identity_are_all_right_ones() -> None:
    identity, shorter, longer = (
        LayerPath.identity(3),
        LayerPath((0, 2), 3),
        LayerPath((0, 1, 1, 2), 3),
    )
    assert best_paths([(identity, 0.0), (longer, 1.0), (shorter, 1.0)], num_best=5) == [
        shorter,
        longer,
    ]
    assert best_paths([(identity, 0.0), (longer, 0.0)], num_best=5) == []
    assert best_paths([(identity, 0.0), (longer, 1.0), (shorter, 1.0)], num_best=1) == [shorter]


def test_pareto_front_by_hand() -> None:
    identity, middle, short = LayerPath.identity(3), LayerPath((0, 2), 3), LayerPath((1,), 3)
    assert pareto_front([(identity, 1.0), (middle, 0.5), (short, 0.5)]) == [short, identity]
    assert pareto_front([(identity, 0.0), (middle, 0.0), (short, 0.0)]) == [short]
