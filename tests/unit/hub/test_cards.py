"""Cards: front matter that the hub reads, the measured table, how it was measured; nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from support import hub_folders
from support.hub import DATASETS, MODELS, LocalHub
from support.scanned import scan_result, write_scan

from router_train.export.hub_card import router_card
from router_train.export.publish import push_router
from router_train.routers.checkpoint import read_meta
from search_cluster.commands.push.run import push
from search_cluster.commands.push.scan_card import scan_card
from search_cluster.hub.card import hub_id_of, model_title, render_hub_card, without_places
from search_cluster.hub.choice import PushChoice
from search_cluster.hub_spec import FolderKind
from search_cluster.paths.layer_path import LayerPath

TO = PushChoice(push_to_hub="org/thing", licence="cc-by-4.0")
EVALUATION = {
    "router": "static",
    "task": "arc_easy",
    "split": "test",
    "threshold": 0.0,
    "n": 500,
    "accuracy_plain": 0.4,
    "accuracy_plain_low": 0.36,
    "accuracy_plain_high": 0.44,
    "accuracy_routed": 0.45,
    "accuracy_routed_low": 0.41,
    "accuracy_routed_high": 0.49,
    "diff": 0.05,
    "diff_low": 0.01,
    "diff_high": 0.09,
    "p_value": 0.0123,
    "layers_plain": 6.0,
    "layers_routed": 5.0,
}


def card_of(kind: FolderKind, tmp_path: Path, hub: LocalHub, choice: PushChoice = TO) -> str:
    push(hub_folders.MAKERS[kind](tmp_path / "made"), choice)
    (repository,) = hub.repositories
    return (hub.head(*repository) / "README.md").read_text()


@pytest.mark.parametrize(
    ("kind", "measured"),
    [
        (
            FolderKind.CORPUS,
            [
                "| the plain model | 0.0% | 0.0% to 24.2% |",
                "| 0-1,3-5 | 5 | 12 | 100.0% | 75.8% to 100.0% |",
                "- command: `search-cluster search --model MODEL --task fruit --split train "
                "--preset drllm --budget 50 --leaves-per-round 4 --seed 0 --dtype float32`",
                "- compared: 24 paths searched",
            ],
        ),
        (
            FolderKind.SCAN,
            [
                "| test | 2000 | 3 | 40.0% | 45.0% | +5.0 [+3.0, +7.0] | 0.01 |",
                "- compared: 929 paths, 54000 verdicts",
                "- looks at test in this folder: 1",
                "--aim accuracy --families skip,repeat --max-block 6 --passes 2 --grow 4 --seed 7",
                "- versions: python 3.11, search-cluster 0.2.0",
            ],
        ),
        (FolderKind.STUDY, ["- intervals: 95 %, drawing whole prompts again", "n = 100"]),
        (
            FolderKind.LENS,
            [
                "takes away 50.0% (95 % interval over texts: 40.0% to 60.0%) of the logit lens'",
                "| 0 | 1.500 | 3.000 | 25.0% | 12.5% |",
                "- fitted to: task arc_easy, 500 tokens, digest `tttttttttttttttt`",
            ],
        ),
        (
            FolderKind.BRIDGES,
            [
                "| 0-1,3-5 | 90 | 0.2500 | 0.5000 | 50.0% | 0.90 |",
                "- judged on: a tenth of text book.txt, which did not teach them",
            ],
        ),
    ],
)
def test_a_card_says_what_was_measured_and_how(
    kind: FolderKind, measured: list[str], tmp_path: Path, local_hub: LocalHub
) -> None:
    text = card_of(kind, tmp_path, local_hub)
    for part in (
        *measured,
        "hub:org/thing",
        "## How it was measured",
        "- model: tiny (a local model), ",
    ):
        assert part in text
    assert "None" not in text
    ((repo_type, _),) = local_hub.repositories
    data = (DatasetCard if repo_type == DATASETS else ModelCard)(text).data
    assert data.license == "cc-by-4.0"
    assert "search-cluster" in data.tags  # type: ignore[operator]
    assert data.get("base_model") is None, "where a local model came from is not known"
    if repo_type == MODELS:
        assert data.library_name == "search-cluster"  # type: ignore[union-attr]


def test_a_scans_command_is_whole() -> None:
    result = replace(
        scan_result([LayerPath((0, 1, 3, 4, 5), 6)]),
        families=("skip", "list"),
        depth_prior="d" * 64,
        seed=20261130,
        budget=1234567,
        minutes=2.5,
        chat="never",
    )
    command = scan_card(result, "hub:a/b").how["command"]
    assert command is not None
    assert "--families skip,list --paths PATHS --depth-prior STUDY --max-block" in command
    assert "--seed 20261130 --budget 1234567 --minutes 2.5 --chat never --dtype" in command


def test_a_licence_that_is_not_given_is_not_made_up(tmp_path: Path, local_hub: LocalHub) -> None:
    text = card_of(FolderKind.LENS, tmp_path, local_hub, replace(TO, licence=None))
    assert ModelCard(text).data.license is None
    assert "No licence is stated" in text


def test_a_routers_card_has_its_evaluation_with_intervals(
    tmp_path: Path, local_hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = hub_folders.router(tmp_path / "run" / "routers" / "static")
    push_router(folder, TO)
    assert "no evaluation of this router is known" in capsys.readouterr().err
    evaluation = tmp_path / "run" / "evaluations" / "static.json"
    evaluation.parent.mkdir()
    evaluation.write_text(json.dumps(EVALUATION | {"router_digest": read_meta(folder).digest}))
    push_router(folder, TO)
    text = (local_hub.head(MODELS, "org/thing") / "README.md").read_text()
    assert (
        "| arc_easy | test | 500 | 40.0% [36.0, 44.0] | 45.0% [41.0, 49.0] | +5.0 [+1.0, +9.0] | "
        "0.0123 | 6.00 | 5.00 |" in text
    )
    assert "--router hub:org/thing --task arc_easy --split test --limit 500 --threshold 0`" in text
    assert "- training: `router-train static SCAN --path 0-1,3-5`" in text
    assert "preset `scan`, search seed 7; 500 questions for training, 1000 for val" in text


def test_a_routers_card_names_the_data_set_that_taught_it(tmp_path: Path) -> None:
    meta = read_meta(hub_folders.router(tmp_path / "router"))
    card = router_card(meta, (), location="hub:a/b", dataset="org/corpus")
    text = render_hub_card(card, repo_type="model", licence=None)
    assert ModelCard(text).data.datasets == ["org/corpus"]


def test_a_scan_that_is_not_sure_says_so_first(tmp_path: Path) -> None:
    result = scan_result([hub_folders.SHORT], sure=False, model="owner/base")
    write_scan(tmp_path, result)
    text = render_hub_card(scan_card(result, "hub:a/b"), repo_type="dataset", licence=None)
    assert "plain model: nothing is sure" in text
    assert "The scan is **not sure**" in text
    assert "hub:a/b --best" in text
    assert DatasetCard(text).data.get("base_model") == "owner/base"
    assert "search-cluster scan --model owner/base " in text


def test_models_go_by_names_that_help_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert hub_id_of("owner/base") == hub_id_of("owner/base+bridges=runs/b") == "owner/base"
    assert hub_id_of("models/mine") is None
    assert hub_id_of("demo") is None
    assert model_title("/home/me/secret/tiny+bridges=/x/y") == "tiny with bridges (a local model)"
    assert model_title("demo").startswith("SmolLM2-135M-Instruct")


def test_a_card_holds_no_place_of_this_machine() -> None:
    said = "a tenth of text /home/me/book.txt, ~/x/y.txt and https://a.b/c/d of owner/name"
    wanted = "a tenth of text book.txt, y.txt and https://a.b/c/d of owner/name"
    assert without_places(said) == wanted
