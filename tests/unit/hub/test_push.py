"""What is not pushed: without a token, unfinished, over something else, to a hub that refuses."""

from pathlib import Path

import huggingface_hub.constants
import pytest
from support import hub_folders
from support.hub import DATASETS, MODELS, LocalHub

from router_train.export.publish import push_router
from search_cluster.commands.push.run import push
from search_cluster.errors import ConfigError, HubError, SearchClusterError
from search_cluster.hub.choice import PushChoice

TO = PushChoice(push_to_hub="org/thing")


def test_without_a_token_nothing_begins(
    tmp_path: Path, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_cluster.hub.push.get_token", lambda: None)
    folder = hub_folders.bridges(tmp_path / "made")
    with pytest.raises(
        ConfigError, match=r"^pushing to org/thing needs a token and there is none; run hf auth"
    ):
        push(folder, TO)
    assert local_hub.requests == []


@pytest.mark.parametrize("name", ["thing", "a/b/c", "https://huggingface.co/a/b", ""])
def test_a_name_that_is_none_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is no repository name; give ORG/NAME$"):
        PushChoice(push_to_hub=name)


def test_what_is_unfinished_damaged_or_not_ours_is_refused(
    tmp_path: Path, local_hub: LocalHub
) -> None:
    unfinished = hub_folders.corpus(tmp_path / "unfinished")
    (unfinished / "manifest.json").unlink()
    damaged = hub_folders.corpus(tmp_path / "damaged")
    (damaged / "data" / "shard-00000.parquet").write_bytes(b"x")
    published = hub_folders.pickled_lens(tmp_path / "published")
    (published / "lens.json").unlink()
    for folder, message in (
        (
            unfinished,
            r"holds no folder of ours \(cache/appendonly\.aof, .*name the folder of a finished",
        ),
        (damaged, "another sha256"),
        (published, r"has no lens\.json, so nothing is known of how its lens was fitted"),
        (hub_folders.router(tmp_path / "router"), "push it with router-train push "),
        (Path("hub:org/thing"), "has to lie on this machine"),
        (tmp_path / "none", "is no folder; name one that a command wrote"),
    ):
        with pytest.raises(SearchClusterError, match=message):
            push(folder, TO)
    with pytest.raises(ConfigError, match="takes a folder of router-train fit"):
        push_router(published, TO)
    assert local_hub.requests == []


def test_a_repository_holds_one_thing(tmp_path: Path, local_hub: LocalHub) -> None:
    push(hub_folders.lens(tmp_path / "lens"), TO)
    before = local_hub.head(MODELS, "org/thing")
    with pytest.raises(
        ConfigError, match=r"^org/thing holds a lens, and .*/bridges a set of bridges; a repo"
    ):
        push(hub_folders.bridges(tmp_path / "bridges"), TO)
    assert local_hub.head(MODELS, "org/thing") == before


def test_a_hub_that_refuses_or_is_away_is_one_line(
    tmp_path: Path, local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub_folders.scan(tmp_path / "made")
    said = r"^org/thing can't be written \(\w+\); .*/made is complete: check the connection and "
    local_hub.refuses = 403
    with pytest.raises(HubError, match=said) as raised:
        push(folder, TO)
    assert "hf_" not in str(raised.value)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=said):
        push(folder, TO)
    assert (DATASETS, "org/thing") not in local_hub.repositories


def test_a_public_repository_is_asked_for(tmp_path: Path, local_hub: LocalHub) -> None:
    push(hub_folders.lens(tmp_path / "made"), PushChoice(push_to_hub="org/open", private=False))
    assert not local_hub.repositories[MODELS, "org/open"].private
