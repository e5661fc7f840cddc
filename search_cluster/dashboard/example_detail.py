"""Everything about one example, ready for JSON.

That is its texts, its paths with their verdicts, and its search tree.
"""

from typing import Any

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord, PathEvidence
from search_cluster.dashboard.path_graph import PathGraph, places, tried_paths
from search_cluster.dashboard.replay import rebuild_graph
from search_cluster.dashboard.shard_digest import outcome_of
from search_cluster.paths.words import path_words
from search_cluster.stats import share_of
from search_cluster.tasks.verdict import Verdict


def describe_example(record: ExampleRecord, provenance: Provenance) -> dict[str, Any]:
    """The example, its paths, and how they hang together.

    Paths come in the order in which they were tried, failed ones last.
    """
    example = record.example
    graph = rebuild_graph(record, provenance) if tried_paths(record) else None
    return {
        "id": example.example_id,
        "task": example.task,
        "split": example.split,
        "source": example.source,
        "difficulty": example.difficulty,
        "question": example.question,
        "choices": list(example.choices),
        "gold": example.gold,
        "gold_index": example.gold_index,
        "outcome": outcome_of(record).value,
        "stop_reason": record.stop_reason,
        "num_layers": provenance.num_layers,
        "notation": path_words(provenance.num_layers),
        "paths": _paths(record),
        "graph": None if graph is None else _graph(graph),
    }


def _paths(record: ExampleRecord) -> list[dict[str, Any]]:
    best = {item.path: rank for rank, item in enumerate(record.best)}
    lucky = {item.path for item in record.unguarded} - set(best)
    evidence = {item.path: item for item in record.evidence}
    pareto = {item.path for item in record.pareto}
    rows = [
        {
            **_shown_path(
                item.path.layers, str(item.path), item.path.counts(), item.path.keeps_order
            ),
            **_shown_verdict(item.verdict),
            "best_rank": best.get(item.path),
            "on_front": item.path in pareto,
            "is_unproven": item.path in lucky,
            "evidence": _evidence(evidence[item.path]) if item.path in evidence else None,
        }
        for item in record.evaluated
    ]
    rows += [
        {
            **_shown_path(
                item.path.layers, str(item.path), item.path.counts(), item.path.keeps_order
            ),
            "failure": f"{item.kind}: {item.message}",
            "best_rank": None,
            "on_front": False,
            "is_unproven": False,
            "evidence": None,
        }
        for item in record.failures
    ]
    return rows


def _shown_path(
    layers: tuple[int, ...], text: str, counts: tuple[int, ...], keeps_order: bool
) -> dict[str, Any]:
    return {
        "path": text,
        "num_layers": len(layers),
        "uses": list(counts),
        "keeps_order": keeps_order,
    }


def _shown_verdict(verdict: Verdict) -> dict[str, Any]:
    return {"reward": verdict.reward, "margin": verdict.margin, "output": verdict.output}


def _evidence(item: PathEvidence) -> dict[str, Any]:
    """Right answers of the path and of identity, and the number of questions.

    For other questions there are also the interval and the chance.
    """
    return {
        "guide": [item.guide_right, item.guide_identity_right, item.num_guide],
        "verify": [item.verify_right, item.verify_identity_right, item.num_verify],
        "probe": [item.probe_right, item.probe_identity_right, item.num_probes],
        "probe_share": share_of(item.probe_right, item.num_probes),
        "probe_chance": item.probe_chance,
        "num_screened": item.num_screened,
        "credible": item.credible,
    }


def _graph(graph: PathGraph) -> dict[str, Any]:
    return {
        "is_search_tree": graph.is_search_tree,
        "note": graph.note,
        "nodes": [
            {
                "path": str(node.path),
                "parent": node.parent,
                "num_visits": node.num_visits,
                "mean_reward": node.mean_reward,
                "depth": depth,
                "row": row,
            }
            for node, (depth, row) in zip(graph.nodes, places(graph.nodes), strict=True)
        ],
        "edges": [[edge.parent, edge.child, edge.num_visits] for edge in graph.edges],
    }
