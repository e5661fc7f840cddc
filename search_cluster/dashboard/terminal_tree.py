"""The search tree of one example on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.dashboard.path_graph import PathGraph, PathNode, tried_paths
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.dashboard.shard_digest import ExampleOutcome, ExampleRow
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.words import path_words
from search_cluster.tasks.verdict import Verdict

LEGEND = (
    "A branch is a path, made from the one above it: its layers in the order in which they run. "
    "The number behind right or wrong is the margin to the best other answer, in nats."
)
MAX_QUESTION = 300
"""Characters of a question that are shown."""
TELLING = (ExampleOutcome.FIXED, ExampleOutcome.SHORTER)
"""Outcomes of examples that are shown rather than others, in this order."""


def one_example(folder: RunFolder, number: int | None) -> tuple[ExampleRecord, Provenance]:
    """The record of an example, and what it depends on.

    Args:
        folder: of a search, which may be running.
        number: the example's, from 0 in the order in which they were searched; ``None``: that of
            the first that a path fixed, or else shortened.

    Raises:
        ConfigError: there is no such example, or no example with a path.
        CorpusError: its shard is gone or damaged.
    """
    snapshot = folder.read()
    rows, provenance = snapshot.rows, snapshot.provenance
    if not rows or provenance is None:
        raise CorpusError(
            f"{folder.folder} holds no searched question yet; name what `search --run` named, and "
            "wait for its first shard"
        )
    if number is not None and number >= len(rows):
        raise ConfigError(f"example is {number}; {folder.folder} has questions 0..{len(rows) - 1}")
    row = _first_telling(rows) if number is None else rows[number]
    record = folder.record(row)
    if not tried_paths(record):
        raise ConfigError(f"question {row.example_id} has no path; name another with --example")
    return record, provenance


def _first_telling(rows: tuple[ExampleRow, ...]) -> ExampleRow:
    found = (row for outcome in TELLING for row in rows if row.outcome is outcome)
    return next(found, rows[0])


def print_tree(
    console: Console, record: ExampleRecord, graph: PathGraph, *, max_nodes: int
) -> None:
    """Print a question, and the paths that its search tried.

    Args:
        console: where to.
        record: what the search found of the example.
        graph: how its paths hang together.
        max_nodes: the largest number of paths that are shown, the most visited first; those that
            they were made from and the best path are among them.
    """
    example = record.example
    console.print(
        f"{example.question[:MAX_QUESTION]}\nright answer: {example.gold}",
        markup=False,
        highlight=False,
    )
    verdicts = {item.path: item.verdict for item in record.evaluated}
    best = record.best[0].path if record.best else None
    shown = _shown(graph.nodes, best, max_nodes)
    branches: dict[int, Tree] = {}
    for index in shown:
        node = graph.nodes[index]
        text = _text(node, verdicts.get(node.path), is_best=node.path == best)
        parent = None if node.parent is None else branches[node.parent]
        branches[index] = Tree(text) if parent is None else parent.add(text)
    console.print(branches[0])
    if len(shown) < len(graph.nodes):
        console.print(
            f"{len(shown)} of {len(graph.nodes)} paths; --max-nodes shows more", highlight=False
        )
    if not graph.is_search_tree:
        console.print(graph.note, markup=False, highlight=False)
    console.print(LEGEND, markup=False, highlight=False)
    notation = path_words(graph.nodes[0].path.num_layers)
    console.print(notation, markup=False, highlight=False)


def _shown(nodes: tuple[PathNode, ...], best: LayerPath | None, max_nodes: int) -> list[int]:
    """The nodes that are shown, in their order; with each, those that it comes from."""

    def value(index: int) -> tuple[bool, int, int]:
        return (nodes[index].path == best, nodes[index].num_visits or 0, -index)

    shown: set[int] = set()
    for index in sorted(range(len(nodes)), key=value, reverse=True):
        line = set[int]()
        at: int | None = index
        while at is not None and at not in shown:
            line.add(at)
            at = nodes[at].parent
        if len(shown) + len(line) <= max_nodes or not shown:
            shown |= line
    return sorted(shown)


def _text(node: PathNode, verdict: Verdict | None, *, is_best: bool) -> str:
    said = ["plain model" if node.path.is_identity else escape(str(node.path))]
    said.append(f"{len(node.path)} layers")
    if verdict is None:
        said.append("[yellow]no verdict[/yellow]")
    else:
        margin = "" if verdict.margin is None else f" by {verdict.margin:+.2f}"
        colour, word = ("green", "right") if verdict.reward > 0 else ("red", "wrong")
        said.append(f"[{colour}]{word}{margin}[/{colour}]")
    if node.num_visits is not None:
        said.append(f"{node.num_visits} visit{'s' * (node.num_visits != 1)}")
    if is_best:
        said.append("[bold]best[/bold]")
    return ", ".join(said)
