"""Every notation against paths that are known from the tools' own words, and read back."""

import json
import logging
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import ConfigError, InvalidPathError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.specs.gguf_path import gguf_path_command, write_gguf_path
from search_cluster.scan.specs.layers import write_layers
from search_cluster.scan.specs.mergekit import write_mergekit
from search_cluster.scan.specs.prune_layers import prune_command
from search_cluster.scan.specs.queue_file import write_queue
from search_cluster.scan.specs.reading import read_named, read_path, read_paths
from search_cluster.scan.specs.rys import blocks_of, path_of_blocks, write_rys


def path(*layers: int, num_layers: int) -> LayerPath:
    return LayerPath(layers, num_layers)


REPEAT_OF_40 = path(*range(15), 12, 13, 14, *range(15, 40), num_layers=40)
SKIP_OF_30 = path(*range(18), *range(20, 30), num_layers=30)
BLOCK_OF_4 = (0, 1, 2, 1, 2, 3)
TWICE_OF_36 = path(*range(22), *range(21, 36), num_layers=36)


@st.composite
def paths(draw: st.DrawFn) -> LayerPath:
    """Any path of a small model."""
    num_layers = draw(st.integers(1, 12))
    layers = draw(st.lists(st.integers(0, num_layers - 1), min_size=1, max_size=20))
    return LayerPath(tuple(layers), num_layers)


@st.composite
def edited_paths(draw: st.DrawFn) -> LayerPath:
    """Paths as a scan makes them: blocks that are skipped or repeated."""
    num_layers = draw(st.integers(2, 16))
    edits, at = [], 0
    for _ in range(draw(st.integers(0, 3))):
        first = at + draw(st.integers(0, 3))
        end = first + draw(st.integers(1, 4))
        if end > num_layers:
            break
        edits.append(Edit(first, end, draw(st.sampled_from((0, 2, 3)))))
        at = end
    try:
        return path_of_edits(edits, num_layers)
    except InvalidPathError:
        return LayerPath.identity(num_layers)


any_path = st.one_of(paths(), edited_paths())


@given(any_path)
def test_what_is_written_in_a_line_reads_back(found: LayerPath) -> None:
    command = gguf_path_command(found, source="my model.gguf", out="out.gguf")
    for text in (write_layers(found), write_rys(found), command):
        assert read_path(text, found.num_layers) == found, text
    assert read_named(str(found), found.num_layers) == found
    if len(found) != 2:
        assert read_path(str(found), found.num_layers) == found
    if len(found.runs()) != 2 or any(first != last for first, last in found.runs()):
        assert read_path(write_gguf_path(found), found.num_layers) == found


@given(any_path, st.sampled_from(["a/b", "no: 'yes' # x", "/home/ü/m", "- 1", "{x}", "01"]))
def test_a_merge_reads_back_and_has_a_slice_for_each_run(found: LayerPath, model: str) -> None:
    text = write_mergekit(found, model=model, dtype="bfloat16")
    merge = yaml.safe_load(text)
    assert (merge["merge_method"], merge["dtype"]) == ("passthrough", "bfloat16")
    sources = [source for item in merge["slices"] for source in item["sources"]]
    assert {source["model"] for source in sources} == {model}
    ranges = [source["layer_range"] for source in sources]
    assert [layer for first, end in ranges for layer in range(first, end)] == list(found.layers)
    assert all(end != first for (_, end), (first, _) in pairwise(ranges))


@given(paths())
def test_pruning_reads_back_or_is_refused(found: LayerPath) -> None:
    is_skip = found.layers == tuple(sorted(set(found.layers))) and not found.is_identity
    if not is_skip:
        with pytest.raises(ConfigError, match="layer"):
            prune_command(found, source="in.gguf", out="out.gguf")
        return
    command = prune_command(found, source="in put.gguf", out="out.gguf")
    assert read_path(command, found.num_layers) == found


@given(st.lists(any_path, min_size=1, max_size=4))
def test_blocks_make_exactly_the_paths_that_leave_nothing_out(found: list[LayerPath]) -> None:
    for item in found:
        blocks = blocks_of(item)
        steps = (b - a for a, b in pairwise(item.layers))
        whole = item.layers[0] == 0 and item.layers[-1] == item.num_layers - 1
        assert (blocks is not None) == (whole and all(step <= 1 for step in steps))
        if blocks is not None:
            assert path_of_blocks(blocks, item.num_layers) == item


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-17,20-29", SKIP_OF_30),
        ("layers:0-17,20-29", SKIP_OF_30),
        ("llama-quantize --prune-layers 18,19 in.gguf out.gguf copy", SKIP_OF_30),
        ("./llama-quantize --allow-requantize --prune-layers 19,18 a.gguf Q4_K_M", SKIP_OF_30),
        ("0..14,12,13,14,15..39", REPEAT_OF_40),
        ("0..14, 12..14, 15..39", REPEAT_OF_40),
        ('python layer_path.py in.gguf out.gguf -p "0..14,12,13,14,15..39" -v', REPEAT_OF_40),
        ("python3 tools/layer_path.py -p 0..14,12..39 in.gguf out.gguf", REPEAT_OF_40),
        ("blocks:12,15", REPEAT_OF_40),
        ("(12, 15)", REPEAT_OF_40),
        ("12,15", REPEAT_OF_40),
        ("blocks:(12,15)", REPEAT_OF_40),
        ("0,0", LayerPath.identity(30)),
        ("blocks:3,6;4,6", path(0, 1, 2, 3, 4, 5, 3, 4, 5, 4, 5, 6, 7, num_layers=8)),
        ("3,6;4,6", path(0, 1, 2, 3, 4, 5, 3, 4, 5, 4, 5, 6, 7, num_layers=8)),
        ("blocks:1,3;1,3", path(0, 1, 2, 1, 2, 1, 2, 3, num_layers=4)),
        ("blocks:5,7;1,3", path(0, 1, 2, 1, 2, 3, 4, 5, 6, 5, 6, 7, num_layers=8)),
        ("layers:0,1,2,3,3,4", path(0, 1, 2, 3, 3, 4, num_layers=5)),
        ("layers:3,5", path(3, 5, num_layers=6)),
        ("7", path(7, num_layers=8)),
    ],
)
def test_what_other_tools_write_is_read(text: str, expected: LayerPath) -> None:
    assert read_path(text, expected.num_layers) == expected


def test_paths_are_written_as_the_tools_say() -> None:
    assert write_rys(REPEAT_OF_40) == "blocks:12,15"
    assert write_rys(SKIP_OF_30) == "layers:" + ",".join(map(str, SKIP_OF_30.layers))
    twice = path_of_edits([Edit(31, 34, 2), Edit(43, 45, 2)], 64)
    assert write_rys(twice) == "blocks:31,34;43,45"
    assert write_gguf_path(REPEAT_OF_40) == "0..14,12..39"
    assert prune_command(SKIP_OF_30, source="in.gguf", out="out.gguf") == (
        "llama-quantize --prune-layers 18,19 in.gguf out.gguf copy"
    )
    assert write_mergekit(TWICE_OF_36, model="Qwen/Qwen3-4B", dtype="bfloat16") == (
        "merge_method: passthrough\ndtype: bfloat16\nslices:\n"
        "- sources:\n  - model: Qwen/Qwen3-4B\n    layer_range: [0, 22]\n"
        "- sources:\n  - model: Qwen/Qwen3-4B\n    layer_range: [21, 36]\n"
    )
    (entry,) = json.loads(write_queue([REPEAT_OF_40]))
    assert entry == {"idx": 0, "layers": list(REPEAT_OF_40.layers), "spec": "blocks:12,15"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", r"'hello' is no path; paths are written as 0-17,20-29; "),
        ("0-30", r"part '0-30'; the model has layers 0\.\.29"),
        ("layers:", r"part ''; parts are layers"),
        ("0..5,-14", r"has a -; its parts are layers \(7\) and ranges with both ends"),
        ("0..40", r"has the part '0\.\.40'; the model has layers 0\.\.29"),
        ("python layer_path.py in.gguf out.gguf", r"names no path; layer_path\.py takes it as -p"),
        ('python layer_path.py a b -p "0..5', r"is no command line \(No closing quotation\)"),
        ("blocks:3,6;4", r"has the block '4'; blocks are pairs"),
        ("blocks:6,3", r"block \(6, 3\) .*so 0 <= i < j <= 30"),
        ("5,3", r"a path of these two layers is layers:5,3"),
        ("blocks:29,31", r"block \(29, 31\) of a model with layers 0\.\.29"),
        ("--prune-layers 30", r"names layer 30; the model has layers 0\.\.29"),
        ("--prune-layers all", r"names no layers; --prune-layers takes numbers"),
        ("--prune-layers " + ",".join(map(str, range(30))), r"path \(\) is empty"),
    ],
)
def test_mistakes_say_the_rule(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidPathError, match=message):
        read_path(text, 30)
    file = tmp_path / "list.txt"
    file.write_text(f"# a list\n\n0-29\n{text}\n")
    with pytest.raises(InvalidPathError, match=rf"list\.txt, line 4: .*{message}"):
        read_paths(file, 30)


def test_a_list_may_mix_notations_and_repeat_itself(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text(
        "# by hand\n0-17,20-29  # two layers fewer\n\nblocks:12,15\n"
        "llama-quantize --prune-layers 18,19 in.gguf out.gguf copy\n(12,15)\n"
        '{"idx": 3, "spec": "blocks:1,2"}\n[0, 1, 2]\n'
    )
    repeat = path(*range(15), *range(12, 30), num_layers=30)
    assert read_paths(file, 30) == [
        SKIP_OF_30,
        repeat,
        path(0, 1, *range(1, 30), num_layers=30),
        path(0, 1, 2, num_layers=30),
    ]


@given(st.lists(paths(), min_size=1, max_size=6))
def test_queues_read_back(tmp_path_factory: pytest.TempPathFactory, found: list[LayerPath]) -> None:
    found = [item for item in found if item.num_layers == found[0].num_layers]
    file = tmp_path_factory.mktemp("queue") / "queue.json"
    file.write_text(write_queue(found))
    assert read_paths(file, found[0].num_layers) == list(dict.fromkeys(found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"idx": 0, "key": [1, 3]}]', [BLOCK_OF_4]),
        ('[{"idx": 0, "key": "(1, 3)"}, [0, 2], "layers:0,3"]', None),
        ('{"layer_indices": [0, 3]}', [(0, 3)]),
        ('[{"layers": "0,3"}]', [(0, 3)]),
        ('[{"path": "0,3", "layers": [0, 3]}, {"path": "blocks:1,3"}]', [(0, 3), BLOCK_OF_4]),
        ('[{"path": "0-1,3", "layers": 3}, {"layers": 2.5, "path": "0,3"}]', [(0, 1, 3), (0, 3)]),
        ("[0, 1, 3]", [(0, 1, 3)]),
        ("[[0, 1, 3], [1, 3]]", [(0, 1, 3), BLOCK_OF_4]),
    ],
)
def test_json_of_other_shapes_is_read(
    text: str, expected: list[tuple[int, ...]] | None, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text(text)
    found = [item.layers for item in read_paths(tmp_path / "x", 4)]
    assert found == (expected or [BLOCK_OF_4, (0, 1, 0, 1, 2, 3), (0, 3)])


MERGE = (
    "merge_method: passthrough\ndtype: bfloat16\nslices:\n"
    "  - sources: [{model: a/b, layer_range: [0, 18]}]\n"
    "  - sources: [{model: a/b, layer_range: [20, 30]}]\n"
)


def test_a_merge_in_flow_style_is_read(tmp_path: Path) -> None:
    (tmp_path / "path.yml").write_text(f"# skip 18 and 19 of 30\n{MERGE}")
    assert read_paths(tmp_path / "path.yml", 30) == [SKIP_OF_30]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"file names no path; a line of it is one of: 0-17"),
        ("[]", r"file names no path"),
        ('[{"idx": 1}]', r"entry 0: \{\"idx\": 1\} names no path; it needs one of layers, "),
        ('[{"layers": 4}]', r"entry 0: \{\"layers\": 4\} names no path; it needs one of layers, "),
        ('["0-3",\n 7]', r"entry 1: 7 names no path; an entry is a text, a list of layers"),
        ('["0-3", [0, 31, 2]]', r"entry 1: path \(0, 31, 2\) uses layer 31"),
        (
            '[{"layers": [0, 1], "spec": "blocks:1,2"}]',
            r"entry 0: two paths in one entry \(layers says 0-1; spec says 0-1,1-29\)",
        ),
        ("[\n1,\n", r"line 1: line 1: no JSON|line 1: no JSON"),
        (MERGE.replace("passthrough", "slerp"), r"merge_method 'slerp' changes weights"),
        (f"{MERGE}parameters: {{scale: 0}}\n", r"with parameters changes weights"),
        (MERGE.replace("[0, 18]}", "[0, 18], parameters: {scale: 0}}"), r"slice 0 is no plain"),
        (MERGE.replace("[20, 30]", "[20, 31]"), r"slice 1 has layer_range \[20, 31\]; the second"),
        (MERGE.replace("[20, 30]", "[20, 20]"), r"slice 1 has layer_range \[20, 20\]"),
        (MERGE.replace("[20, 30]", "[20]"), r"slice 1 has layer_range \[20\]; it is two layers"),
        (MERGE.replace("[0, 18]", "[false, 18]"), r"slice 0 has layer_range \[False, 18\]"),
        (
            MERGE.replace("a/b, layer_range: [0", "c, layer_range: [0"),
            r"it merges 2 models \(a/b, c",
        ),
        ("slices: []\n", r"it has no slices"),
        ("slices: [\n", r"line 2: no YAML"),
    ],
)
def test_files_with_mistakes_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(InvalidPathError, match=message) as raised:
        read_paths(file, 30)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(file))


def test_a_path_of_a_flag_is_ours_first(caplog: pytest.LogCaptureFixture) -> None:
    assert read_named(" 0, 5", 6) == path(0, 5, num_layers=6)
    assert caplog.messages == [
        "path 0,5 is read as these two layers alone; a block of RYS is written blocks:0, 5"
    ]
    caplog.clear()
    assert read_named("3,1", 6) == path(3, 1, num_layers=6)
    for text in ("blocks:1,3", "(1, 3)", "blocks:(1,3)"):
        assert read_named(text, 4) == path(*BLOCK_OF_4, num_layers=4)
    assert not caplog.messages
    with pytest.raises(InvalidPathError, match=r"layers 0\.\.5; a block of RYS is .* blocks:1,6$"):
        read_named("1,6", 6)


def test_a_file_says_how_its_pairs_were_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "list"
    file.write_text("(1, 3)\nblocks:0,3\n3,4\nlayers:1,3\n")
    assert len(read_paths(file, 4)) == 4
    assert not caplog.messages, "each has one reading: there is no layer 4"
    file.write_text('0-2\n1,3\n["0,3"]\n')
    with caplog.at_level(logging.WARNING):
        assert read_paths(file, 4)[1] == path(*BLOCK_OF_4, num_layers=4)
    assert caplog.messages == [
        f"{file}: 1,3 is read as a block of RYS, as are 1 more; a path of these two layers is "
        "written layers:1,3"
    ]


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    for text in ("0-17,20-29\n", MERGE, "[[" + ",".join(map(str, SKIP_OF_30.layers)) + "]]"):
        (tmp_path / "x").write_text(text, encoding="utf-8-sig")
        assert read_paths(tmp_path / "x", 30) == [SKIP_OF_30]


def test_bytes_are_no_list(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF\xff\xfe\x00")
    with pytest.raises(InvalidPathError, match=r"x\.gguf is not UTF-8 text"):
        read_paths(tmp_path / "x.gguf", 30)


def test_a_list_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for place in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InvalidPathError) as raised:
            read_paths(place, 30)
        assert str(raised.value).startswith(f"can't read {place}: ")
        assert str(raised.value).endswith("; name a file with a path a line")


def test_a_flag_offers_what_a_flag_can_hold() -> None:
    with pytest.raises(InvalidPathError) as raised:
        read_named("skip 2", 30)
    assert "layers:0,1,2; blocks:" in str(raised.value)
    assert "JSON" not in str(raised.value)
