"""What goes into files, and the commands that take them."""

import json
from pathlib import Path

import pytest

from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.reading import read_path, read_paths
from search_cluster.scan.specs.traps import ModelFacts, SpecFormat
from search_cluster.scan.specs.writing import SpecTarget, write_spec

SKIP = LayerPath((0, 1, 2, 3, 5), 6)
REPEAT = LayerPath((0, 1, 2, 1, 2, 3, 4, 5), 6)
LIKE = ModelFacts(layer_kinds=("full_attention",) * 6, lists_layer_types=False)


def target(model: str = "a/b", file: str | None = None) -> SpecTarget:
    return SpecTarget(model=model, dtype="bfloat16", facts=LIKE, file=file)


@pytest.mark.parametrize("spec_format", [item for item in SpecFormat if item is not SpecFormat.HF])
def test_a_written_file_says_command_and_traps_and_reads_back(
    spec_format: SpecFormat, tmp_path: Path
) -> None:
    path = SKIP if spec_format is SpecFormat.PRUNE_LAYERS else REPEAT
    written = write_spec(spec_format, path, target(), said=("A path.",))
    (tmp_path / "file").write_text(written.text)
    assert read_paths(tmp_path / "file", 6) == [path]
    assert written.text.startswith("# A path.\n# For ")
    for trap in written.traps:
        assert f"# Mind: {trap}.\n" in written.text
    assert written.command in written.text
    assert bool(written.command) == (spec_format is not SpecFormat.LAYERS)


def test_commands_name_the_files_that_there_are() -> None:
    written = write_spec(SpecFormat.MERGEKIT, REPEAT, target(file="my.yml"))
    assert written.command == "mergekit-yaml my.yml OUT --copy-tokenizer --clone-tensors"
    written = write_spec(SpecFormat.GGUF_PATH, REPEAT, target(model="/m/x y.gguf"))
    assert written.command == "python layer_path.py '/m/x y.gguf' out.gguf -p \"0..2,1..5\""
    written = write_spec(SpecFormat.PRUNE_LAYERS, SKIP, target())
    assert written.command == "llama-quantize --prune-layers 4 in.gguf out.gguf copy"
    written = write_spec(SpecFormat.RYS, REPEAT, target())
    assert '--spec "blocks:1,3"' in written.command
    assert read_path(written.text.splitlines()[-1], 6) == REPEAT
    with pytest.raises(
        ConfigError, match=r"mergekit reads no GGUF files, and the model is x\.gguf"
    ):
        write_spec(SpecFormat.MERGEKIT, SKIP, target(model="x.gguf"))


def test_a_queue_is_pure_json() -> None:
    written = write_spec(SpecFormat.RYS, REPEAT, target(file="queue.json"))
    assert json.loads(written.text)[0]["spec"] == "blocks:1,3"
