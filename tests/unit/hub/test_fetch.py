"""What ``hub:`` names: which commit, without a network, and what is refused."""

from pathlib import Path

import huggingface_hub.constants
import pytest
from support import hub_folders
from support.hub import DATASETS, MODELS, LocalHub
from support.model_doubles import loaded_tiny

from search_cluster.commands.push.run import push
from search_cluster.errors import ConfigError, HubError
from search_cluster.hub import fetch
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.folders import local_folder, pinned_folder
from search_cluster.hub_spec import FolderKind as Kind
from search_cluster.hub_spec import HubSpec, read_hub_spec, require_local
from search_cluster.model.lens.folder import load_lens


@pytest.fixture
def bridges(tmp_path: Path, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit of pushed bridges."""
    monkeypatch.setattr(fetch, "_said", set())
    folder = hub_folders.bridges(tmp_path / "bridges")
    return str(push(folder, PushChoice(push_to_hub="org/bridges"))["commit"])


def test_a_revision_becomes_a_commit_which_is_said_once(
    bridges: str, local_hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for _ in range(2):
        assert pinned_folder(Path("hub:org/bridges@main"), Kind.BRIDGES) == Path(
            f"hub:org/bridges@{bridges}"
        )
    assert capsys.readouterr().err == f"hub:org/bridges@main is commit {bridges}\n"
    first = local_folder("hub:org/bridges", Kind.BRIDGES)
    local_hub.add(MODELS, "org/bridges", {"bridges.safetensors": b"other"})
    assert local_folder(f"hub:org/bridges@{bridges}", Kind.BRIDGES) == first
    assert local_folder("hub:org/bridges", Kind.BRIDGES) != first, "the branch moved"


def test_a_commit_that_is_there_is_asked_for_nowhere(bridges: str, local_hub: LocalHub) -> None:
    spec = f"hub:org/bridges@{bridges}"
    folder = local_folder(spec, Kind.BRIDGES)
    asked = len(local_hub.requests)
    assert local_folder(spec, Kind.BRIDGES) == folder
    assert len(local_hub.requests) == asked


def test_without_a_network_the_copy_serves(
    bridges: str, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = local_folder("hub:org/bridges", Kind.BRIDGES)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert local_folder("hub:org/bridges", Kind.BRIDGES) == folder
    assert local_folder(f"hub:org/bridges@{bridges}", Kind.BRIDGES) == folder
    for spec in ("hub:org/never", f"hub:org/never@{'a' * 40}", "hub:org/bridges@other"):
        with pytest.raises(HubError, match=r"^hub:org/\S+ is not in the local hub cache and the"):
            local_folder(spec, Kind.BRIDGES)


@pytest.mark.parametrize(
    ("spec", "kinds", "message"),
    [
        (
            "hub:org/bridges",
            (Kind.ROUTER,),
            r"hub:org/bridges@[0-9a-f]{40} holds a set of bridges; a router is needed here$",
        ),
        (
            "hub:org/bridges",
            (Kind.CORPUS, Kind.SCAN),
            r"hub:org/bridges is a model on the hub that holds a set of bridges; a corpus or a "
            r"scan is needed here$",
        ),
        (
            "hub:org/scan",
            (Kind.LENS,),
            r"hub:org/scan is a data set on the hub that holds a scan; a lens is needed here$",
        ),
        ("hub:org/scan", (Kind.CORPUS,), r"holds a scan; a corpus is needed here$"),
        (
            "hub:org/foreign",
            (Kind.LENS,),
            r"holds no folder of ours \(config\.json, model\.safetensors\); a lens is needed here$",
        ),
        (
            "hub:org/pickled",
            (Kind.LENS,),
            r"holds a lens as a pickle \(params\.pt\), which is not read from the hub; copy it, "
            r"if you trust it, with hf download, and name the folder; a lens is needed here$",
        ),
        (
            "hub:org/nothing",
            (Kind.LENS,),
            r"^hub:org/nothing is not on the hub, or is private; check the spelling, or run: hf",
        ),
        (
            "hub:org/bridges@v9",
            (Kind.BRIDGES,),
            r"^hub:org/bridges@v9 has no revision 'v9'; look its revisions up on the hub$",
        ),
    ],
)
def test_what_is_not_there_or_is_something_else_is_one_line(
    spec: str,
    kinds: tuple[Kind, ...],
    message: str,
    bridges: str,
    local_hub: LocalHub,
    tmp_path: Path,
) -> None:
    push(hub_folders.scan(tmp_path / "scan"), PushChoice(push_to_hub="org/scan"))
    local_hub.add(MODELS, "org/foreign", {"config.json": b"{}", "model.safetensors": b"x" * 9})
    local_hub.add(MODELS, "org/pickled", {"config.json": b"{}", "params.pt": b"a pickle"})
    with pytest.raises(HubError, match=message) as raised:
        local_folder(spec, *kinds)
    assert "\n" not in str(raised.value)
    for name in ("model.safetensors", "params.pt", "scan.parquet"):
        assert not local_hub.asked(f"GET /org/foreign/resolve/main/{name}")
        assert not list((tmp_path / "cache").rglob(name)), "it is not downloaded"


def test_a_pickle_of_the_hub_is_never_opened(
    local_hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub_folders.pickled_lens(tmp_path / "lens")
    names = ("config.json", "lens.json", "params.pt")
    local_hub.add(MODELS, "org/l", {name: (folder / name).read_bytes() for name in names})
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(HubError, match="as a pickle"):
        load_lens(Path("hub:org/l"), loaded_tiny())


def test_a_large_data_set_of_others_is_not_downloaded(local_hub: LocalHub, tmp_path: Path) -> None:
    local_hub.add(DATASETS, "org/big", {"data/shard-00000.parquet": b"x" * 99, "a.csv": b"1"})
    with pytest.raises(HubError, match=r"holds no folder of ours \(a\.csv, data/shard-00000"):
        local_folder("hub:org/big", Kind.CORPUS)
    assert not list((tmp_path / "cache").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("hub:org/name", HubSpec(repository="org/name")),
        ("hub:org/na.me-2@refs/pr/1", HubSpec(repository="org/na.me-2", revision="refs/pr/1")),
    ],
)
def test_a_spec_is_taken_apart_and_written_again(text: str, spec: HubSpec) -> None:
    assert read_hub_spec(text) == spec
    assert str(spec) == text
    assert str(Path(text)) == text, "it survives as a path"


@pytest.mark.parametrize(
    "text", ["hub:", "hub:name", "hub:a/b/c", "hub:../x", "hub:a/b@", "hub:/a"]
)
def test_a_name_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"names no repository; give ORG/NAME|no revision behind"):
        local_folder(text, Kind.LENS)


def test_what_is_written_to_has_to_be_copied_first() -> None:
    require_local("runs/mine", "--run")
    with pytest.raises(
        ConfigError,
        match=r"^--run is hub:org/a@v1, and has to lie on this machine; copy it first: hf download "
        r"org/a --revision v1 --local-dir a \(of a data set with --repo-type dataset\), and name a",
    ):
        require_local(Path("hub:org/a@v1"), "--run")


def test_a_folder_of_this_machine_stays_as_it_is_named(tmp_path: Path) -> None:
    assert local_folder(str(tmp_path), Kind.LENS) == tmp_path
    assert pinned_folder(tmp_path, Kind.BRIDGES) == tmp_path
    assert pinned_folder(None, Kind.BRIDGES) is None
