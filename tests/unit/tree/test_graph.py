import dataclasses
import math
import random
from collections.abc import Callable
from itertools import product

import pytest

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.graph import GraphSearch, SearchGraph
from search_cluster.tree.node import Edge, Node
from search_cluster.tree.presets.cola import COLA_REORDER
from search_cluster.tree.presets.drllm import LIMITS, STRATEGY
from search_cluster.tree.scores import UcbScore, VisitTotal
from search_cluster.tree.widening import PowerWidening

Reward = Callable[[LayerPath], float]


def new_graph(
    num_layers: int = 8, strategy: GraphSearch = STRATEGY, seed: int = 0, root_reward: float = 0.0
) -> SearchGraph:
    return SearchGraph(LayerPath.identity(num_layers), root_reward, strategy, random.Random(seed))


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
    inner = [
        node for node in graph.nodes.values() if node is not graph.root and len(node.edges) > 1
    ]
    assert len(inner) > 5


def test_every_path_of_the_space_is_proposed_exactly_once() -> None:
    graph = new_graph(4)
    proposed = run(graph, lambda path: 0.5, 10_000)
    within = {
        path
        for decisions in product((0, 1, 2), repeat=4)
        if any(decisions)
        for path in [LayerPath.from_decisions(decisions)]
        if LIMITS.violation(path) is None and not path.is_identity
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


def test_same_seed_same_proposals_and_another_seed_others() -> None:
    first = run(new_graph(30, seed=1), lambda path: float(len(path) % 2), 60)
    again = run(new_graph(30, seed=1), lambda path: float(len(path) % 2), 60)
    other = run(new_graph(30, seed=2), lambda path: float(len(path) % 2), 60)
    assert first == again
    assert first != other


def test_the_length_penalty_pulls_towards_short_paths() -> None:
    proposed = run(new_graph(30), lambda path: 1.0, 100)
    assert sum(map(len, proposed)) / len(proposed) < 29


def test_answers_must_be_pending_and_in_range() -> None:
    graph = new_graph(4)
    with pytest.raises(InvalidValueError, match="is not pending"):
        graph.observe(LayerPath.identity(4), 1.0)
    path = graph.propose(1)[0]
    with pytest.raises(InvalidValueError, match=r"reward is 1\.5"):
        graph.observe(path, 1.5)


def test_ucb_by_hand() -> None:
    score = UcbScore(exploration=1.8, length_penalty=3.0).value(2.0, 4, 10, 0.9)
    assert score == pytest.approx(0.5 + 1.8 * math.sqrt(math.log(10) / 4) - 2.7)


@pytest.mark.parametrize(("visits", "expected"), [(0, 1), (1, 2), (2, 3), (4, 4), (5, 5), (25, 10)])
def test_widening_by_hand(visits: int, expected: int) -> None:
    assert PowerWidening(scale=2.0, exponent=0.5).max_children(visits) == expected


def test_greedy_descent_takes_the_child_with_the_best_score() -> None:
    one_child = PowerWidening(scale=1.0, exponent=0.0)
    graph = new_graph(
        6, dataclasses.replace(STRATEGY, random_child_probability=0.0, widening=one_child)
    )
    first = graph.propose(1)[0]
    graph.observe(first, 1.0)
    # One child is allowed, so the next proposal must lie below it.
    second = graph.propose(1)[0]
    assert [edge.child.path for edge in graph.root.edges] == [first]
    assert [edge.child.path for edge in graph.nodes[first.layers].edges] == [second]


@pytest.mark.parametrize(("visit_total", "chosen"), [(VisitTotal.PARENT, 0), (VisitTotal.ALL, 1)])
def test_both_readings_of_v_by_hand(visit_total: VisitTotal, chosen: int) -> None:
    # PARENT, V = 12: 6/9 + 0.25 sqrt(ln 12 / 9) = 0.80 beats 1.5/3 + 0.25 sqrt(ln 12 / 3) = 0.73.
    # ALL, V = 10^9: 6/9 + 0.25 sqrt(ln 10^9 / 9) = 1.05 loses to 1.5/3 + 0.25 sqrt(ln 10^9 / 3) =
    # 1.16.
    score = UcbScore(exploration=0.25, length_penalty=0.0)
    graph = new_graph(
        6,
        dataclasses.replace(
            STRATEGY, random_child_probability=0.0, visit_total=visit_total, score=score
        ),
    )
    graph.root.num_visits = 10**9
    path = LayerPath.identity(6)
    edges = [
        Edge(Node(path=path, depth=2, length_ratio=1.0, num_visits=visits, total_reward=reward))
        for visits, reward in ((9, 6.0), (3, 1.5))
    ]
    node = Node(path=path, depth=1, length_ratio=1.0, num_visits=12, edges=edges)
    assert graph._select(node, edges) is edges[chosen]


def test_an_edge_always_leads_to_a_greater_depth() -> None:
    for strategy in (STRATEGY, COLA_REORDER.strategy):
        assert isinstance(strategy, GraphSearch)
        graph = new_graph(5, strategy)
        run(graph, lambda path: 1.0, 300)
        for node in graph.nodes.values():
            assert all(edge.child.depth > node.depth for edge in node.edges)
            assert len({edge.child.path for edge in node.edges}) == len(node.edges)
