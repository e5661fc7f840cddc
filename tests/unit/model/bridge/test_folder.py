"""Sets of bridges on disk, and models that are loaded with them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny
from support.bridges import WIDTH, bare_tiny, random_bridges

from search_cluster.bridged_spec import BridgeKind, spec_again, spec_with_bridges, split_spec
from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.bridge.bridged import with_bridges
from search_cluster.model.bridge.bridges import Bridges, bridges_of
from search_cluster.model.bridge.folder import load_bridges, read_bridges_record, save_bridges
from search_cluster.model.load.loading import load_model
from search_cluster.paths.jumps import Jump

JUMPS = (Jump(-1, 2), Jump(0, 3), Jump(3, 6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bridges(tmp_path / "b", random_bridges(JUMPS), bare_tiny(), {"text": "none"})
    return tmp_path / "b"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_model(tmp_path_factory.mktemp("model") / "llama")


def test_what_is_read_back_is_what_was_written(folder: Path, tmp_path: Path) -> None:
    written, read = random_bridges(JUMPS), load_bridges(folder, bare_tiny())
    assert read.jumps == JUMPS
    assert read.digest == written.digest
    for jump in JUMPS:
        for got, expected in zip(read.tensors(jump), written.tensors(jump), strict=True):
            assert torch.equal(got, expected)
    record = read_bridges_record(folder)
    assert record.found == {"text": "none"}
    assert record.jumps == ["-1:2", "0:3", "3:6"]
    save_bridges(tmp_path / "again", read, bare_tiny(), {"text": "none"})
    for name in ("config.json", "bridges.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_digest_changes_with_whatever_changes_a_state() -> None:
    bridges = random_bridges(JUMPS)
    maps = {jump: bridges.tensors(jump) for jump in JUMPS}
    weight_DD, bias_D = maps[JUMPS[0]]
    other = Bridges({**maps, JUMPS[0]: (weight_DD, bias_D.nextafter(bias_D + 1))})
    moved = Bridges({**{jump: maps[jump] for jump in JUMPS[1:]}, Jump(-1, 3): maps[JUMPS[0]]})
    named = Bridges(maps, BridgeKind.BIAS)
    assert len({bridges.digest, other.digest, moved.digest}) == 3
    assert named.digest == bridges.digest


def test_bridges_of_another_model_are_refused(folder: Path) -> None:
    other = replace(bare_tiny(), fingerprint="1" * 32)
    with pytest.raises(ModelError, match=r"bridges .* were fitted to model 'tiny' \(float32"):
        load_bridges(folder, other)


def test_bridges_may_be_fitted_in_another_dtype(tmp_path: Path) -> None:
    parts = {"weights": "1", "config": "2", "tokenizer": "3", "code": "4"}
    loaded = replace(bare_tiny(), parts=parts)
    save_bridges(tmp_path, random_bridges(JUMPS), loaded)
    halved = replace(
        bare_tiny(dtype=torch.bfloat16), parts={**parts, "weights": "9"}, fingerprint="2" * 32
    )
    assert load_bridges(tmp_path, halved).jumps == JUMPS
    same_dtype = replace(halved, dtype="float32")
    with pytest.raises(ModelError, match="what differs: weights"):
        load_bridges(tmp_path, same_dtype)


def test_a_damaged_folder_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.json, so it is no set of bridges"):
        load_bridges(tmp_path / "nowhere", bare_tiny())
    tensors = load_file(folder / "bridges.safetensors")
    save_file({**tensors, "0:3.bias": torch.ones(WIDTH)}, folder / "bridges.safetensors")
    with pytest.raises(ConfigError, match=r"holds other bridges than config\.json says"):
        load_bridges(folder, bare_tiny())
    del tensors["0:3.bias"]
    save_file(tensors, folder / "bridges.safetensors")
    with pytest.raises(ConfigError, match=r"does not hold the bridges of config\.json"):
        load_bridges(folder, bare_tiny())
    (folder / "bridges.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"does not hold the bridges of config\.json"):
        load_bridges(folder, bare_tiny())
    (folder / "config.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(ConfigError, match="is not a description of bridges of schema 1"):
        load_bridges(folder, bare_tiny())


def test_a_model_is_loaded_with_its_bridges(model_dir: Path, tmp_path: Path) -> None:
    bare = load_model(str(model_dir), self_test=False)
    save_bridges(tmp_path, random_bridges(JUMPS), bare)
    spec = spec_with_bridges(str(model_dir), tmp_path)
    loaded = load_model(spec, self_test=False)
    assert loaded.spec == spec
    assert loaded.bare_spec == str(model_dir)
    assert loaded.bridges_folder == tmp_path
    found = bridges_of(loaded.model)
    assert found is not None
    assert found.jumps == JUMPS
    assert loaded.fingerprint == with_bridges(bare, random_bridges(JUMPS)).fingerprint
    assert not loaded.identity.is_known_as(bare.fingerprint)
    assert not bare.identity.is_known_as(loaded.fingerprint)
    assert loaded.identity.differences(bare.parts) == " (what differs: bridges)"
    assert bare.identity.differences(loaded.parts) == " (what differs: bridges)"


def test_verdicts_with_and_without_bridges_have_other_places_in_a_cache() -> None:
    bare = bare_tiny()
    models = [bare, with_bridges(bare, random_bridges(JUMPS)), with_bridges(bare, random_bridges())]
    namespaces = {
        VerdictContext(
            schema=CONTEXT_SCHEMA,
            model_fingerprint=loaded.fingerprint,
            task="capitals",
            task_version="1",
            decoding="greedy",
            tie_threshold=0.0,
            num_layers=loaded.num_layers,
        ).namespace
        for loaded in models
    }
    assert len(namespaces) == 3


def test_the_name_of_a_model_holds_its_bridges() -> None:
    assert split_spec("demo") == ("demo", None)
    spec = spec_with_bridges("demo", Path("runs/b"))
    assert spec == "demo+bridges=runs/b"
    assert split_spec(spec) == ("demo", Path("runs/b"))
    assert spec_with_bridges(spec, None) == spec
    with pytest.raises(ConfigError, match="has bridges already, and --bridges c would be others"):
        spec_with_bridges(spec, Path("c"))
    assert spec_again(spec, None) == spec
    assert spec_again(spec, "org/name") == "org/name+bridges=runs/b"
    assert spec_again(spec, None, Path("c")) == "demo+bridges=c"
    assert spec_again(spec, "demo+bridges=d") == "demo+bridges=d"
    assert spec_again("demo", "org/name") == "org/name"
