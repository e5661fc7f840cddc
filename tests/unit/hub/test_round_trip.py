"""What is pushed comes back to the byte, and nothing else was pushed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import hub_folders
from support.hub import DATASETS, MODELS, LocalHub
from support.model_doubles import loaded_tiny

from router_train.export.publish import push_router
from router_train.routers.checkpoint import read_meta, require_weights
from search_cluster.commands.push.run import push
from search_cluster.corpus.reader import read_corpus
from search_cluster.depth.result import read_depth_result
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.folders import fetched_from, local_folder, shown_folder
from search_cluster.hub.kinds import FILES
from search_cluster.hub_spec import FolderKind
from search_cluster.model.bridge.folder import load_bridges
from search_cluster.model.lens.folder import lens_digest, load_lens
from search_cluster.scan.result_file import read_result
from search_cluster.scan.table import read_scan_table

REPOSITORY = "org/thing"
TO = PushChoice(push_to_hub=REPOSITORY)
SPEC = f"hub:{REPOSITORY}"


def pushed(kind: FolderKind, folder: Path, choice: PushChoice = TO) -> dict[str, object]:
    return (push_router if kind is FolderKind.ROUTER else push)(folder, choice)


def repositories(kind: FolderKind) -> str:
    return DATASETS if FILES[kind].repo_type == "dataset" else MODELS


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def digest(kind: FolderKind, folder: Path) -> object:
    """What the folder's own reader makes of it, with its own checks."""
    if kind is FolderKind.CORPUS:
        return read_corpus(folder).manifest.corpus_digest, (folder / "menu.parquet").read_bytes()
    if kind is FolderKind.SCAN:
        return read_result(folder), read_scan_table(folder / "scan.parquet").in_order()
    if kind is FolderKind.STUDY:
        return read_depth_result(folder)
    if kind is FolderKind.LENS:
        return lens_digest(load_lens(folder, loaded_tiny()))
    if kind is FolderKind.BRIDGES:
        return load_bridges(folder, loaded_tiny()).digest
    meta = read_meta(folder)
    require_weights(folder, meta)
    return meta


@pytest.mark.parametrize("kind", list(FolderKind))
def test_what_is_pushed_comes_back_to_the_byte(
    kind: FolderKind, tmp_path: Path, local_hub: LocalHub
) -> None:
    folder = hub_folders.MAKERS[kind](tmp_path / "made")
    done = pushed(kind, folder)
    there = local_hub.head(repositories(kind), REPOSITORY)
    assert sorted(names(there)) == done["files"]
    fetched = local_folder(SPEC, kind)
    assert names(fetched) == names(there)
    for name in names(fetched) - {"README.md"}:
        assert (fetched / name).read_bytes() == (folder / name).read_bytes(), name
    assert digest(kind, fetched) == digest(kind, folder)
    assert str(fetched_from(fetched)) == str(shown_folder(fetched)) == f"{SPEC}@{done['commit']}"
    assert local_hub.repositories[repositories(kind), REPOSITORY].private


def test_caches_logs_sessions_and_rows_stay(
    tmp_path: Path, local_hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = hub_folders.corpus(tmp_path / "made")
    done = push(folder, TO)
    assert names(local_hub.head(DATASETS, REPOSITORY)) == {
        "README.md", "manifest.json", "menu.parquet", "data/shard-00000.parquet",
    }  # fmt: skip
    assert done["left_out"] == ["cache", "report.html", "sessions", "tasks", "worker.log"]
    said = capsys.readouterr().err
    assert "left out: cache, report.html, sessions, tasks, worker.log; --include-rows" in said
    assert "holds its questions, choices and gold answers" in said
    assert "hf_" not in said
    assert not any("hf_" in line for line in local_hub.requests)


def test_rows_of_a_users_task_go_where_they_are_asked_for(
    tmp_path: Path, local_hub: LocalHub
) -> None:
    folder = hub_folders.corpus(tmp_path / "made")
    (folder / "tasks" / "fruit" / "task.py").write_text("raise SystemExit('code of the hub ran')")
    push(folder, replace(TO, include_rows=True))
    assert "tasks/fruit/rows.jsonl" in names(local_hub.head(DATASETS, REPOSITORY))
    fetched = names(local_folder(SPEC, FolderKind.CORPUS))
    assert not any(name.startswith("tasks/") for name in fetched), "tasks may be code"
    push(folder, TO)
    assert "tasks/fruit/rows.jsonl" not in names(local_hub.head(DATASETS, REPOSITORY))


def test_a_second_push_takes_away_what_the_first_left_and_nothing_of_others(
    tmp_path: Path, local_hub: LocalHub
) -> None:
    folder = hub_folders.corpus(tmp_path / "made")
    push(folder, TO)
    local_hub.add(DATASETS, REPOSITORY, {"data/shard-00009.parquet": b"old", "NOTES.md": b"mine"})
    before = len(local_hub.repositories[DATASETS, REPOSITORY].commits)
    push(folder, TO)
    there = names(local_hub.head(DATASETS, REPOSITORY))
    assert "NOTES.md" in there
    assert "data/shard-00009.parquet" not in there
    assert len(local_hub.repositories[DATASETS, REPOSITORY].commits) == before + 1, "one commit"


def test_a_lens_goes_as_plain_tensors(tmp_path: Path, local_hub: LocalHub) -> None:
    folder = hub_folders.pickled_lens(tmp_path / "made")
    done = push(folder, TO)
    assert done["files"] == ["README.md", "config.json", "lens.json", "params.safetensors"]
    one, other = load_lens(folder, loaded_tiny()), load_lens(Path(SPEC), loaded_tiny())
    assert lens_digest(one) == lens_digest(other)
    assert done["left_out"] == []
    safe = hub_folders.lens(tmp_path / "safe")
    there = local_hub.head(MODELS, REPOSITORY) / "params.safetensors"
    assert there.read_bytes() == (safe / "params.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (FolderKind.CORPUS, "data/shard-00000.parquet", "another sha256"),
        (FolderKind.LENS, "params.safetensors", "holds other translators than"),
        (FolderKind.BRIDGES, "bridges.safetensors", "holds other bridges than"),
        (FolderKind.ROUTER, "router.safetensors", "is missing or not the file"),
    ],
)
def test_what_was_changed_on_the_hub_is_refused(
    kind: FolderKind, name: str, message: str, tmp_path: Path, local_hub: LocalHub
) -> None:
    pushed(kind, hub_folders.MAKERS[kind](tmp_path / "made"))
    content = bytearray((local_hub.head(repositories(kind), REPOSITORY) / name).read_bytes())
    content[-1] ^= 1
    local_hub.add(repositories(kind), REPOSITORY, {name: bytes(content)})
    with pytest.raises((ConfigError, CorpusError), match=message):
        digest(kind, local_folder(SPEC, kind))


def test_places_of_this_machine_are_said(
    tmp_path: Path, local_hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = hub_folders.bridges(tmp_path / "made")
    config = json.loads((folder / "config.json").read_text())
    config["model_spec"] = "/home/somebody/models/tiny"
    (folder / "config.json").write_text(json.dumps(config))
    done = push(folder, TO)
    assert done["places_named"] == ["config.json: /home/somebody/models/tiny"]
    assert "names places of this machine: config.json: /home/somebody" in capsys.readouterr().err
    card = (local_hub.head(MODELS, REPOSITORY) / "README.md").read_text()
    assert "/home/somebody" not in card
    assert "tiny (a local model)" in card


def test_a_folder_that_is_pushed_stays_as_it_was(tmp_path: Path, local_hub: LocalHub) -> None:
    folder = hub_folders.pickled_lens(tmp_path / "made")
    shutil.copytree(folder, tmp_path / "before")
    push(folder, TO)
    assert names(folder) == names(tmp_path / "before")
