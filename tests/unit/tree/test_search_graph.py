import dataclasses
import math
import random
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_cluster.errors import ConfigError, InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.best import best_paths, pareto_front
from search_cluster.tree.graph import SearchGraph
from search_cluster.tree.scores import max_children, ucb_score
from search_cluster.tree.settings import DRLLM, SearchPreset, get_preset

Reward = Callable[[LayerPath], float]


def new_graph(
    num_layers: int = 8, preset: SearchPreset = DRLLM, seed: int = 0, root_reward: float = 0.0
) -> SearchGraph:
    return SearchGraph(LayerPath.identity(num_layers), root_reward, preset, random.Random(seed))


def run(graph: SearchGraph, reward: Reward, budget: int, leaves: int = 4) -> list[LayerPath]:
    proposed: list[LayerPath] = []
    while len(proposed) < budget and (paths := graph.propose(min(leaves, budget - len(proposed)))):
        for path in paths:
            graph.observe(path, reward(path))
        proposed += paths
    return proposed


def assert_visits_add_up(graph: SearchGraph) -> None:
    assert graph.num_pending == 0
    for node in graph.nodes.values():
        assert node.num_pending == 0
        assert node.num_visits == node.num_own_visits + sum(edge.num_visits for edge in node.edges)


def test_constant_reward_does_not_grow_a_chain() -> None:
    graph = new_graph(30)
    run(graph, lambda path: 1.0, 200)
    assert len(graph.root.edges) > 10
    inner = [node for node in graph.nodes.values() if node is not graph.root and len(node.edges) > 1]
    assert len(inner) > 5


def test_every_path_of_the_space_is_proposed_exactly_once() -> None:
    graph = new_graph(4)
    proposed = run(graph, lambda path: 0.5, 10_000)
    within = {
        path
        for decisions in product((0, 1, 2), repeat=4)
        if any(decisions)
        for path in [LayerPath.from_decisions(decisions)]
        if DRLLM.space.limits.violation(path) is None and not path.is_identity
    }
    assert len(proposed) == len(set(proposed))
    assert set(proposed) == within
    assert graph.exhausted
    assert graph.propose(4) == []


def test_no_path_is_out_of_reach_with_failures_around_it() -> None:
    graph = new_graph(4)
    proposed = 0
    while paths := graph.propose(3):
        for path in paths:
            if path.counts()[0] == 2:
                graph.abandon(path)
            else:
                graph.observe(path, 1.0)
        proposed += len(paths)
    assert graph.exhausted
    assert proposed >= 2 * 3**3 // 2


def test_different_orders_of_edits_reach_one_node() -> None:
    graph = new_graph(5)
    run(graph, lambda path: 1.0, 150)
    parents = [edge.child.path for node in graph.nodes.values() for edge in node.edges]
    assert len(parents) > len(set(parents))
    assert_visits_add_up(graph)


def test_a_round_is_made_of_distinct_paths_under_virtual_loss() -> None:
    graph = new_graph(30)
    paths = graph.propose(4)
    assert len(set(paths)) == 4
    assert graph.root.num_pending == 4
    assert graph.root.num_visits == 1
    for path in paths:
        graph.observe(path, 0.0)
    assert_visits_add_up(graph)


@given(st.integers(0, 10_000), st.lists(st.sampled_from(["propose", "observe", "abandon"]), max_size=60))
@settings(max_examples=60)
def test_visits_add_up_after_any_interleaving(seed: int, actions: list[str]) -> None:
    graph = new_graph(6, seed=seed)
    rng = random.Random(seed)
    waiting: list[LayerPath] = []
    for action in actions:
        if action == "propose":
            waiting += graph.propose(rng.randint(1, 5))
        elif waiting:
            path = waiting.pop(rng.randrange(len(waiting)))
            if action == "observe":
                graph.observe(path, rng.choice([0.0, 1.0]))
            else:
                graph.abandon(path)
    for path in waiting:
        graph.observe(path, 0.0)
    assert_visits_add_up(graph)


def test_same_seed_same_proposals_and_another_seed_others() -> None:
    first = run(new_graph(30, seed=1), lambda path: float(len(path) % 2), 60)
    again = run(new_graph(30, seed=1), lambda path: float(len(path) % 2), 60)
    other = run(new_graph(30, seed=2), lambda path: float(len(path) % 2), 60)
    assert first == again
    assert first != other


def test_the_length_penalty_pulls_towards_short_paths() -> None:
    proposed = run(new_graph(30), lambda path: 1.0, 100)
    assert sum(map(len, proposed)) / len(proposed) < 29


def test_a_toy_optimum_is_found_within_the_budget() -> None:
    # Only skips of the even layers keep the answer; brute force over all decisions knows the best.
    def reward(path: LayerPath) -> float:
        return float(all(count == 1 for count in path.counts()[1::2]) and max(path.counts()) == 1)

    every = [LayerPath.from_decisions(d) for d in product((0, 1, 2), repeat=6) if any(d)]
    shortest = min(len(path) for path in every if DRLLM.space.limits.violation(path) is None and reward(path))
    graph = new_graph(6, root_reward=1.0)
    found = run(graph, reward, 150)
    assert min(len(path) for path in found if reward(path)) == shortest == 3


def test_answers_must_be_pending_and_in_range() -> None:
    graph = new_graph(4)
    with pytest.raises(InvalidValueError, match="is not pending"):
        graph.observe(LayerPath.identity(4), 1.0)
    path = graph.propose(1)[0]
    with pytest.raises(InvalidValueError, match=r"reward is 1\.5"):
        graph.observe(path, 1.5)


def test_ucb_by_hand() -> None:
    score = ucb_score(
        total_reward=2.0, num_visits=4, visit_total=10, length_ratio=0.9, exploration=1.8, length_penalty=3.0
    )
    assert score == pytest.approx(0.5 + 1.8 * math.sqrt(math.log(10) / 4) - 2.7)


@pytest.mark.parametrize(("visits", "expected"), [(0, 1), (1, 2), (2, 3), (4, 4), (5, 5), (25, 10)])
def test_widening_by_hand(visits: int, expected: int) -> None:
    assert max_children(visits, scale=2.0, exponent=0.5) == expected


def test_greedy_descent_takes_the_child_with_the_best_score() -> None:
    preset = dataclasses.replace(DRLLM, random_child_probability=0.0, widening_scale=1.0, widening_exponent=0.0)
    graph = new_graph(6, preset=preset)
    first = graph.propose(1)[0]
    graph.observe(first, 1.0)
    # One child is allowed, so the next proposal must lie below it.
    second = graph.propose(1)[0]
    assert [edge.child.path for edge in graph.root.edges] == [first]
    assert [edge.child.path for edge in graph.nodes[first].edges] == [second]


def test_best_paths_of_a_right_identity_are_the_shorter_right_ones() -> None:
    identity, shorter, longer = LayerPath.identity(3), LayerPath((0, 2), 3), LayerPath((0, 1, 1, 2), 3)
    assert best_paths([(identity, 1.0), (longer, 1.0), (shorter, 1.0)], num_best=5) == [shorter]
    assert best_paths([(identity, 1.0), (longer, 1.0), (shorter, 0.0)], num_best=5) == [identity]


def test_best_paths_of_a_wrong_identity_are_all_right_ones() -> None:
    identity, shorter, longer = LayerPath.identity(3), LayerPath((0, 2), 3), LayerPath((0, 1, 1, 2), 3)
    assert best_paths([(identity, 0.0), (longer, 1.0), (shorter, 1.0)], num_best=5) == [shorter, longer]
    assert best_paths([(identity, 0.0), (longer, 0.0)], num_best=5) == []
    assert best_paths([(identity, 0.0), (longer, 1.0), (shorter, 1.0)], num_best=1) == [shorter]


def test_pareto_front_by_hand() -> None:
    identity, middle, short = LayerPath.identity(3), LayerPath((0, 2), 3), LayerPath((1,), 3)
    assert pareto_front([(identity, 1.0), (middle, 0.5), (short, 0.5)]) == [short, identity]
    assert pareto_front([(identity, 0.0), (middle, 0.0), (short, 0.0)]) == [short]


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"preset 'nope' is unknown; presets are: .*drllm"):
        get_preset("nope")
