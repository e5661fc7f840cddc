"""Models of the hub: one commit for all, one download, one digest."""

import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from support import tiny
from support.hub import LocalHub, point_at
from transformers import AutoModelForCausalLM

from search_cluster.errors import ModelError, UnreachableHubError
from search_cluster.files import file_sha256
from search_cluster.model.load import digests, hub
from search_cluster.model.load.digests import file_digest, remembered_digest
from search_cluster.model.load.folder import load_folder
from search_cluster.model.load.place import pinned_revision, place_of
from search_cluster.model.load.user_cache import one_at_a_time

ID = "owner/small"
OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    commits = {}
    for commit in (OLD, NEW):
        folder = commits[commit] = tmp_path / "commits" / commit
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "llama"}')
        (folder / "model.safetensors").write_bytes(commit.encode() * 100)
    served = LocalHub(ID, commits, {"main": OLD})
    with served.running():
        point_at(served, monkeypatch, tmp_path / "hub")
        yield served


def test_a_branch_is_looked_up_once_and_may_move_after_that(local_hub: LocalHub) -> None:
    pinned = pinned_revision(ID, None)
    assert pinned == OLD
    local_hub.branches["main"] = NEW
    weights = (place_of(ID, pinned) / "model.safetensors").read_bytes()
    assert weights == OLD.encode() * 100
    asked = len(local_hub.requests)
    assert (place_of(ID, pinned) / "model.safetensors").read_bytes() == weights
    assert pinned_revision(ID, pinned) == pinned
    assert len(local_hub.requests) == asked, "a commit that is there is asked for nowhere"


def test_of_several_who_want_a_model_one_downloads_it(local_hub: LocalHub) -> None:
    with ThreadPoolExecutor(max_workers=6) as threads:
        places = list(threads.map(lambda _: place_of(ID, OLD), range(6)))
    assert len(set(places)) == 1
    assert local_hub.asked("/tree/") == 1
    assert local_hub.asked("GET /owner/small/resolve") == 2  # its two files


def test_a_revision_that_is_not_there_is_one_line(local_hub: LocalHub) -> None:
    with pytest.raises(ModelError, match=r"^model 'owner/small' has no revision 'v9'; look its"):
        pinned_revision(ID, "v9")


def test_a_cache_that_takes_no_files_is_one_line_that_says_what_to_set(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(
        ModelError, match=r"can't be kept in the hub cache \S+ \(Read-only.*HF_HOME"
    ):
        hub.download(ID, OLD)


def test_whoever_can_not_reach_the_hub_leaves_the_revision_to_those_who_load(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert pinned_revision(ID, "main") == "main"
    with pytest.raises(UnreachableHubError, match="can't be reached"):
        hub.commit_of(ID, "main")


@pytest.mark.parametrize("named", ["demo", "/no/such/folder", "./here", "some.gguf", ""])
def test_what_is_no_hub_id_is_not_looked_up(named: str, local_hub: LocalHub) -> None:
    assert pinned_revision(named, "kept") == "kept"
    assert local_hub.requests == []


def test_a_large_file_of_the_hub_is_named_by_its_digest(local_hub: LocalHub) -> None:
    weights = place_of(ID, OLD) / "model.safetensors"
    assert file_digest(weights) == os.path.basename(weights.resolve())  # noqa: PTH119 - a link
    assert file_digest(weights) == file_sha256(weights)


def test_of_several_who_want_a_digest_one_computes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "REMEMBERED_FROM_BYTES", 1)
    (file := tmp_path / "weights").write_bytes(b"some")
    computed: list[int] = []
    all_there = threading.Barrier(5)

    def compute() -> str:
        computed.append(1)
        return "digest"

    def ask(_: int) -> str:
        all_there.wait()
        return remembered_digest(file, (), ["weights"], compute)

    with ThreadPoolExecutor(max_workers=5) as threads:
        assert list(threads.map(ask, range(5))) == ["digest"] * 5
    assert computed == [1]


def test_without_a_place_for_locks_the_work_is_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", "/dev/null/nowhere")
    with one_at_a_time("work"):
        pass


def test_an_error_within_is_no_missing_lock() -> None:
    with pytest.raises(OSError, match="mine"), one_at_a_time("work"):
        raise OSError("mine")


def test_weights_for_a_gpu_are_read_onto_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second copy in the machine's memory: transformers is told where each tensor goes."""
    asked: list[object] = []
    read = AutoModelForCausalLM.from_pretrained

    def from_pretrained(folder: Path, *, device_map: object, **settings: object) -> object:
        asked.append(device_map)
        return read(folder, **settings)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    for device in ("cuda:1", "cpu"):
        load_folder(
            tiny.save_tiny_model(tmp_path / device),
            torch.float32,
            trust_remote_code=False,
            devices=[device],
        )
    assert asked == [{"": "cuda:1"}, None]
