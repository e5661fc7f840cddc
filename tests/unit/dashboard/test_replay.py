"""The search tree of an example comes back from its record, or the page says why it does not."""

from collections import Counter
from dataclasses import replace

import pytest
from support.run_folders import PROVENANCE, all_kinds, broken, example, never, searched, solved_by

from search_cluster.corpus.record import ExampleRecord
from search_cluster.dashboard.path_graph import tried_paths
from search_cluster.dashboard.replay import rebuild_graph
from search_cluster.search.example_search import ExampleSearch
from search_cluster.tree.graph import SearchGraph
from search_cluster.tree.presets.registry import PRESETS, get_preset


@pytest.mark.parametrize("record", all_kinds()[:4], ids=["fixed", "shorter", "kept", "unsolved"])
def test_the_tree_is_the_one_that_the_search_walked(record: ExampleRecord) -> None:
    graph = rebuild_graph(record, PROVENANCE)
    assert graph.is_search_tree
    assert Counter(node.path for node in graph.nodes) == Counter(tried_paths(record)), (
        "every tried path, once"
    )
    root = graph.nodes[0]
    assert root.path.is_identity
    assert root.parent is None
    assert root.num_visits == len(record.evaluated), "each evaluation passed the root once"
    rewards = [item.verdict.reward for item in record.evaluated]
    assert root.mean_reward == pytest.approx(sum(rewards) / len(rewards))
    for index, node in enumerate(graph.nodes[1:], start=1):
        assert node.parent is not None
        assert node.parent < index, "parents come before their children"
        assert any((edge.parent, edge.child) == (node.parent, index) for edge in graph.edges)
    for index, node in enumerate(graph.nodes):
        down = sum(edge.num_visits or 0 for edge in graph.edges if edge.parent == index)
        failed = any(item.path == node.path for item in record.failures)
        assert node.num_visits == (0 if failed else 1) + down, "own visit plus those of its edges"


def test_the_replay_is_checked_against_the_search_itself() -> None:
    """The expected tree is taken from a live search, not from another replay."""
    item = example(0)
    preset = replace(
        get_preset("drllm"), budget=PROVENANCE.budget, leaves_per_round=PROVENANCE.leaves_per_round
    )
    search = ExampleSearch(
        item, num_layers=PROVENANCE.num_layers, preset=preset, seed=PROVENANCE.seed
    )
    while paths := search.propose():
        search.observe([never(path) for path in paths])
    assert isinstance(search.proposer, SearchGraph)
    graph = rebuild_graph(search.result(), PROVENANCE)
    assert {node.path: node.num_visits for node in graph.nodes} == {
        node.path: node.num_visits for node in search.proposer.nodes.values()
    }


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_that_keeps_a_tree_is_rebuilt(name: str) -> None:
    provenance = replace(PROVENANCE, preset=name, budget=60)
    record = searched(example(3), solved_by(5), provenance)
    graph = rebuild_graph(record, provenance)
    assert [node.path for node in graph.nodes] == tried_paths(record)
    if name in ("chain", "random", "credible"):
        assert f"preset {name} walks no tree of this question alone" in graph.note
    else:
        assert graph.is_search_tree
        assert graph.nodes[0].num_visits == len(record.evaluated)


def test_the_other_reading_of_visits_is_replayed_too() -> None:
    provenance = replace(PROVENANCE, preset="cola", visit_total="parent", budget=60)
    record = searched(example(3), never, provenance)
    assert rebuild_graph(record, provenance).is_search_tree
    assert not rebuild_graph(record, replace(provenance, visit_total="all")).is_search_tree


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 8}, "which the recorded search never tried"),
        ({"preset": "gone"}, "preset 'gone' is unknown"),
        ({"budget": 12}, "in another order"),
    ],
)
def test_a_record_that_does_not_replay_is_drawn_by_its_edits(
    change: dict[str, object], reason: str
) -> None:
    record = searched(example(0), never)
    graph = rebuild_graph(record, replace(PROVENANCE, **change))
    assert not graph.is_search_tree
    assert reason in graph.note
    assert [node.path for node in graph.nodes] == tried_paths(record)
    assert len(graph.edges) == len(graph.nodes) - 1, "a tree of edits"
    assert all(node.num_visits is None for node in graph.nodes)


def test_an_example_whose_plain_path_failed_has_one_node() -> None:
    graph = rebuild_graph(searched(example(0), broken), PROVENANCE)
    assert not graph.is_search_tree
    assert "the plain model gave no verdict" in graph.note
    assert len(graph.nodes) == 1


def test_a_search_that_ended_for_another_reason_is_noticed() -> None:
    graph = rebuild_graph(replace(searched(example(0), never), stop_reason="exhausted"), PROVENANCE)
    assert not graph.is_search_tree
    assert "this version's search ends with budget, the recorded one with exhausted" in graph.note


def test_another_outcome_in_the_record_is_noticed() -> None:
    """A verdict that was changed after the search leads the replay elsewhere."""
    record = searched(example(0), solved_by(3))
    changed = replace(
        record,
        evaluated=tuple(
            replace(item, verdict=replace(item.verdict, reward=0.0)) for item in record.evaluated
        ),
    )
    assert not rebuild_graph(changed, PROVENANCE).is_search_tree
