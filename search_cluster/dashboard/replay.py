"""The search tree of one example, rebuilt by searching again over the verdicts in its record.

A search is deterministic, so the same verdicts give the same tree. Where they do not (the record
was written by another version, or the search depended on more than its own verdicts), that is
noticed and said.
"""

from dataclasses import replace

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.dashboard.path_graph import PathEdge, PathGraph, PathNode, graph_of_edits
from search_cluster.errors import ConfigError, InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.search.example_search import ExampleSearch
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.graph import GraphSearch, SearchGraph
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import SearchPreset, with_score

NOTE = (
    "The search of this question, rebuilt from its verdicts. A node is a path; its size shows how "
    "many simulations went through it. Dashed edges are other orders of edits that lead to the "
    "same path."
)


class ReplayError(InvalidValueError):
    """The record is not what this version's search gives."""


def rebuild_graph(record: ExampleRecord, provenance: Provenance) -> PathGraph:
    """The search tree of a record, or else the graph of its edits.

    The latter comes with the reason why there is no tree.
    """
    try:
        return _replay(record, provenance, _preset_of(provenance))
    except (ReplayError, ConfigError) as error:
        return graph_of_edits(record, f"The search tree can't be rebuilt: {error}.")


def _preset_of(provenance: Provenance) -> SearchPreset:
    preset = with_score(
        get_preset(provenance.preset),
        visit_total=provenance.visit_total,
        exploration=provenance.exploration,
    )
    return replace(preset, budget=provenance.budget, leaves_per_round=provenance.leaves_per_round)


def _replay(record: ExampleRecord, provenance: Provenance, preset: SearchPreset) -> PathGraph:
    if preset.evidence is not None or not isinstance(preset.strategy, GraphSearch):
        raise ReplayError(f"preset {preset.name} walks no tree of this question alone")
    search = ExampleSearch(
        record.example, num_layers=provenance.num_layers, preset=preset, seed=provenance.seed
    )
    outcomes = _outcomes(record)
    parents: dict[LayerPath, LayerPath] = {}
    while paths := search.propose():
        unknown = next((path for path in paths if path not in outcomes), None)
        if unknown is not None:
            raise ReplayError(
                f"this version's search tries {unknown} after {search.num_searched} paths, which "
                "the recorded search never tried (it ran in another version, or with statistics "
                "of other questions)"
            )
        if isinstance(search.proposer, SearchGraph):
            _note_parents(search.proposer, parents)
        search.observe([outcomes[path] for path in paths])
    again = search.result()
    if [item.path for item in again.evaluated] != [item.path for item in record.evaluated]:
        raise ReplayError("this version's search tries the recorded paths in another order")
    if again.stop_reason != record.stop_reason:
        raise ReplayError(
            f"this version's search ends with {again.stop_reason}, the recorded one with "
            f"{record.stop_reason}"
        )
    if not isinstance(search.proposer, SearchGraph):
        raise ReplayError("the plain model gave no verdict, so there was no search")
    return _drawn(search.proposer, parents)


def _outcomes(record: ExampleRecord) -> dict[LayerPath, Verdict | Failure]:
    failures = {
        item.path: Failure(kind=item.kind, message=item.message) for item in record.failures
    }
    return {item.path: item.verdict for item in record.evaluated} | failures


def _note_parents(graph: SearchGraph, parents: dict[LayerPath, LayerPath]) -> None:
    """Remember for each new node which node it was made from.

    Later, other edges may lead to it, too.
    """
    for node in graph.nodes.values():
        for edge in node.edges:
            parents.setdefault(edge.child.path, node.path)


def _drawn(graph: SearchGraph, parents: dict[LayerPath, LayerPath]) -> PathGraph:
    index = {node.path: number for number, node in enumerate(graph.nodes.values())}
    nodes = tuple(
        PathNode(
            path=node.path,
            parent=index[parents[node.path]] if node.path in parents else None,
            num_visits=node.num_visits,
            mean_reward=node.total_reward / node.num_visits if node.num_visits else None,
        )
        for node in graph.nodes.values()
    )
    edges = tuple(
        PathEdge(parent=index[node.path], child=index[edge.child.path], num_visits=edge.num_visits)
        for node in graph.nodes.values()
        for edge in node.edges
    )
    return PathGraph(is_search_tree=True, note=NOTE, nodes=nodes, edges=edges)
