"""Where nodes stand, and which path an edit belongs to."""

from support.run_folders import NUM_LAYERS, example, never, searched

from search_cluster.corpus.record import ExampleRecord, PathVerdict
from search_cluster.dashboard.path_graph import PathNode, graph_of_edits, places
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(NUM_LAYERS)


def _node(parent: int | None) -> PathNode:
    return PathNode(path=IDENTITY, parent=parent, num_visits=1, mean_reward=0.0)


def test_a_parent_stands_in_the_middle_of_its_children() -> None:
    nodes = [_node(None), _node(0), _node(0), _node(1), _node(1), _node(4)]
    assert places(nodes) == [(0, 1.25), (1, 0.5), (1, 2.0), (2, 0.0), (2, 1.0), (3, 1.0)]
    assert places([]) == []
    assert places([_node(None)]) == [(0, 0.0)]


def test_a_long_chain_is_placed_without_recursion() -> None:
    nodes = [_node(None), *(_node(index) for index in range(5000))]
    assert places(nodes)[-1] == (5000, 0.0)


def test_no_two_nodes_of_a_real_search_stand_in_one_place() -> None:
    graph = graph_of_edits(searched(example(1), never), "For the test.")
    where = places(graph.nodes)
    assert len(set(where)) == len(where) > 10


def test_a_path_hangs_from_the_most_similar_one_before_it() -> None:
    def tried(*layers: int) -> PathVerdict:
        verdict = Verdict(reward=0.0, margin=None, output="", num_layer_tokens=1)
        return PathVerdict(path=LayerPath(layers, 4), verdict=verdict)

    evaluated = (
        tried(0, 1, 2, 3),
        tried(0, 2, 3),
        tried(0, 1, 1, 2, 3),
        tried(0, 3),
        tried(3, 0),
        tried(0, 1, 3, 2),
    )
    record = ExampleRecord(
        example=example(0),
        identity=None,
        evaluated=evaluated,
        failures=(),
        best=(),
        pareto=(),
        stop_reason="budget",
    )
    graph = graph_of_edits(record, "Why.")
    assert graph.note.startswith("Why. Drawn instead:")
    # 0,3 lacks one layer more than 0,2,3; 3,0 re-orders it; 0,1,3,2 re-orders the plain path.
    assert [node.parent for node in graph.nodes] == [None, 0, 0, 1, 3, 0]
