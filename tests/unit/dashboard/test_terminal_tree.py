"""The search tree of one example on a terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from support.run_folders import PROVENANCE, all_kinds, write_run

from search_cluster.corpus.record import ExampleRecord
from search_cluster.dashboard.replay import rebuild_graph
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.dashboard.terminal_tree import one_example, print_tree
from search_cluster.errors import ConfigError, CorpusError


def printed(record: ExampleRecord, max_nodes: int = 24) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_tree(console, record, rebuild_graph(record, PROVENANCE), max_nodes=max_nodes)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_tree_shows_each_path_below_the_one_it_was_made_from() -> None:
    record = all_kinds()[0]
    graph = rebuild_graph(record, PROVENANCE)
    text = printed(record, max_nodes=len(graph.nodes))
    lines = text.splitlines()
    assert lines[0] == record.example.question
    assert lines[1] == f"right answer: {record.example.gold}"
    assert lines[2].startswith(f"plain model, {PROVENANCE.num_layers} layers, wrong")
    places = {}
    for node in graph.nodes[1:]:
        place = next(n for n, line in enumerate(lines) if f" {node.path}, " in line)
        places[node.path] = place
        parent = graph.nodes[node.parent or 0].path
        assert place > places.get(parent, 2)
    best = next(line for line in lines if line.endswith("best"))
    assert f" {record.best[0].path}, " in best
    assert "right" in best
    assert "more" not in text


def test_of_a_large_tree_the_most_visited_and_the_best_path_are_shown() -> None:
    record = all_kinds()[0]
    graph = rebuild_graph(record, PROVENANCE)
    text = printed(record, max_nodes=4)
    assert f"of {len(graph.nodes)} paths; --max-nodes shows more" in text
    assert f"{record.best[0].path}, " in text
    assert text.count(" layers, ") <= 4


def test_the_example_is_the_first_that_a_path_fixed_or_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    records = all_kinds()
    folder = RunFolder(write_run(tmp_path / "run", records[::-1]))
    rows = folder.read().rows
    assert one_example(folder, None)[0] == records[0], "fixed, though it is not the first"
    named, provenance = one_example(folder, 1)
    assert named.example.example_id == rows[1].example_id
    assert provenance == PROVENANCE
    with pytest.raises(ConfigError, match=rf"example is {len(rows)}; .* 0\.\.{len(rows) - 1}"):
        one_example(folder, len(rows))


def test_an_example_without_paths_and_a_run_without_examples_say_so(tmp_path: Path) -> None:
    (tmp_path / "new" / "sessions").mkdir(parents=True)
    with pytest.raises(CorpusError, match="holds no searched question yet"):
        one_example(RunFolder(tmp_path / "new"), None)
