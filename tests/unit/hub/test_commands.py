"""``hub:`` in the place of folders, and pushes, as they are typed and as Python says them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from support import hub_folders, tiny
from support.hub import DATASETS, MODELS, LocalHub
from support.scanned import scan_result, write_scan
from typer.testing import CliRunner

from router_train import cli as router_cli
from router_train.api import RoutedModel, of_scan
from search_cluster import api, cli
from search_cluster.commands.from_hub import with_hub_folders
from search_cluster.commands.push.run import push
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.push import push_files
from search_cluster.model.load.loading import load_model


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(app: typer.Typer, *arguments: object, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


def json_of(app: typer.Typer, *arguments: object) -> dict[str, Any]:
    return json.loads(run(app, *arguments, "--json").stdout.splitlines()[-1])


def files(folder: Path) -> dict[str, int]:
    """What lies in a folder, and when it was written."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_a_corpus_of_the_hub_is_looked_at_and_learnt_from(
    tmp_path: Path, local_hub: LocalHub
) -> None:
    made = json_of(cli.app, "push", hub_folders.corpus(tmp_path / "made"), "--to", "org/corpus")
    assert made["address"] == f"{local_hub.address}/datasets/org/corpus"
    spec = "hub:org/corpus"
    status = json_of(cli.app, "status", spec)
    assert (status["run"], status["examples"]) == (f"{spec}@{made['commit']}", 12)
    assert (status["sessions"], status["device_seconds"]) == (None, None), "sessions stayed"
    before = files(tmp_path / "cache")
    done = run(cli.app, "report", spec)
    assert Path("corpus.html").is_file()
    assert f"router-train fit --corpus {spec}@{made['commit']} --router drllm" in done.stdout
    rows = json_of(cli.app, "export", spec, "--format", "parquet", "--out", "flat.parquet")
    assert rows["rows"] == 24
    opened = api.open_corpus(spec)
    assert len(opened.corpus.records) == 12
    opened.report()
    fitted = json_of(
        router_cli.app, "fit", "--corpus", spec, "--router", "static", "--out", "static",
        "--task", _fruit_file(), "--push-to-hub", "org/router",
    )  # fmt: skip
    assert files(tmp_path / "cache").keys() == before.keys(), "nobody writes into the copy"
    assert fitted["hub"]["kind"] == "router"
    card = (local_hub.head(MODELS, "org/router") / "README.md").read_text()
    assert "datasets:\n- org/corpus\n" in card


def _fruit_file() -> Path:
    """The task of the corpus, in a file of its own."""
    file = Path("fruit.py")
    file.write_text("from support.router_corpus import fruit_task\nTASK = fruit_task()\n")
    return file


def test_a_scan_of_the_hub_gives_its_path(tmp_path: Path, local_hub: LocalHub) -> None:
    commit = push(hub_folders.scan(tmp_path / "made"), PushChoice(push_to_hub="org/scan"))["commit"]
    spec = "hub:org/scan"
    path = str(hub_folders.SHORT)
    assert json_of(cli.app, "status", spec)["path"] == path
    exported = json_of(cli.app, "scan", "export", spec, "--format", "layers")
    assert exported["path"] == path
    assert f"router-train static {spec}@{commit} --out routers/static" in exported["router_command"]
    run(cli.app, "report", spec)
    assert Path("scan.html").is_file()
    made = json_of(router_cli.app, "static", spec, "--out", "a")
    assert made["path"] == path
    assert of_scan(spec, "b").meta == of_scan(spec, "b").meta
    assert api.open_scan(spec).path == path


def test_what_was_learnt_or_settled_runs_from_the_hub(tmp_path: Path, local_hub: LocalHub) -> None:
    model = str(tiny.save_tiny_model(tmp_path / "model"))
    fingerprint = load_model(model, device="cpu").fingerprint
    scan = write_scan(
        tmp_path / "scan",
        scan_result([hub_folders.SHORT], model=model, fingerprint=fingerprint),
    )
    json_of(router_cli.app, "static", scan, "--out", tmp_path / "r", "--push-to-hub", "org/r")
    pushed = json_of(router_cli.app, "push", tmp_path / "r", "--to", "org/r2", "--public")
    assert not local_hub.repositories[MODELS, "org/r2"].private
    assert pushed["places_named"] == [f"router.json: {model}"]
    routed = RoutedModel.from_pretrained("hub:org/r", device="cpu")
    (answer,) = routed.answer(["the capital city of"], max_new_tokens=2)
    assert answer.routed.path == hub_folders.SHORT
    done = json_of(
        router_cli.app, "generate", "--router", "hub:org/r2", "--prompt", "the capital city",
        "--device", "cpu", "--max-new-tokens", 1,
    )  # fmt: skip
    assert done["path"] == list(hub_folders.SHORT.layers)


def test_settings_of_the_hub_are_named_by_their_commit(tmp_path: Path, local_hub: LocalHub) -> None:
    commits = {
        name: push(maker(tmp_path / name), PushChoice(push_to_hub=f"org/{name}"))["commit"]
        for name, maker in (
            ("bridges", hub_folders.bridges),
            ("scan", hub_folders.scan),
            ("study", hub_folders.study),
        )
    }
    config = with_hub_folders(
        SearchConfig(
            bridges=Path("hub:org/bridges"),
            study=Path("hub:org/scan@main"),
            depth_prior=Path("hub:org/study"),
        )
    )
    assert config.model_spec == f"demo+bridges=hub:org/bridges@{commits['bridges']}"
    assert config.study is not None
    assert config.depth_prior is not None
    assert (config.study / "scan.json").is_file()
    assert (config.depth_prior / "depth.json").is_file()


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (cli.app, ("search", "--run", "hub:org/a"), "--run is hub:org/a, and has to lie on this"),
        (cli.app, ("scan", "--task", "x", "--run", "hub:org/a@v"), "hf download org/a --revision"),
        (cli.app, ("crossexec", "hub:org/a", "--menu", "4"), "run is hub:org/a, and has to lie on"),
        (cli.app, ("lens", "fit", "--out", "hub:org/a"), "--out is hub:org/a, and has to lie on"),
        (cli.app, ("push", "hub:org/a", "--to", "org/b"), "folder is hub:org/a, and has to lie on"),
        (cli.app, ("status", "hub:a"), "'hub:a' names no repository; give ORG/NAME"),
        (cli.app, ("status", "hub:org/none"), "hub:org/none is not on the hub, or is private"),
        (cli.app, ("push", ".", "--to", "b"), "'b' is no repository name; give ORG/NAME"),
        (
            router_cli.app,
            ("fit", "--corpus", "hub:org/r", "--out", "x"),
            "hub:org/r is a model on the hub that holds a set of bridges; a corpus is needed here",
        ),
        (
            router_cli.app,
            ("generate", "--router", "hub:org/r", "--prompt", "x"),
            "holds a set of bridges; a router is needed here",
        ),
        (
            cli.app,
            ("lens", "show", "--lens", "hub:org/r@no", "--text", "x"),
            "hub:org/r@no has no revision 'no'",
        ),
    ],
)
def test_what_can_not_be_is_one_line(
    program: typer.Typer,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    local_hub: LocalHub,
) -> None:
    push(hub_folders.bridges(tmp_path / "made"), PushChoice(push_to_hub="org/r"))
    done = run(program, *arguments, code=2)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert not list(Path.cwd().iterdir()), "nothing was begun"


def test_settings_that_are_written_to_are_refused_from_files_and_python_too() -> None:
    with pytest.raises(ConfigError, match=r"^run is hub:org/a, and has to lie on this machine"):
        SearchConfig(run=Path("hub:org/a"))
    with pytest.raises(ConfigError, match=r"^out is hub:org/a, and has to lie on this machine"):
        of_scan("somewhere", "hub:org/a")


def test_a_push_at_the_end_needs_a_token_before_the_work_begins(
    local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_cluster.hub.push.get_token", lambda: None)
    for program, arguments in (
        (cli.app, ("search", "--run", "run")),
        (cli.app, ("scan", "--task", "capitals", "--run", "run")),
        (cli.app, ("lens", "fit", "--out", "run")),
        (cli.app, ("bridge", "fit", "--jump", "1:3", "--self", "--out", "run")),
        (cli.app, ("depth", "--task", "capitals", "--out", "run")),
        (router_cli.app, ("fit", "--corpus", "c", "--out", "run")),
        (router_cli.app, ("static", "c", "--out", "run")),
        (router_cli.app, ("export", "c", "--out", "run")),
    ):
        done = run(program, *arguments, "--push-to-hub", "org/a", code=2)
        assert "needs a token and there is none" in done.stderr or "holds no router" in done.stderr
    assert not Path("run").exists()
    assert local_hub.requests == []


def test_files_beside_an_export_stay_on_the_hub(tmp_path: Path, local_hub: LocalHub) -> None:
    (tmp_path / "out").mkdir()
    local_hub.add(MODELS, "org/export", {"extra.txt": b"mine"})
    push_files(
        {"a.json": b"{}"},
        PushChoice(push_to_hub="org/export"),
        kind=None,
        repo_type="model",
        folder=tmp_path / "out",
    )
    there = local_hub.head(MODELS, "org/export")
    assert sorted(path.name for path in there.iterdir()) == ["a.json", "extra.txt"]
    assert (DATASETS, "org/export") not in local_hub.repositories
