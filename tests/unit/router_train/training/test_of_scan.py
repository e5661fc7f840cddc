"""The path of a scan as a router of ``router-train``."""

import json
from pathlib import Path

import pytest
from support import tiny
from support.router_corpus import tiny_loaded
from support.scanned import scan_result, write_scan
from typer.testing import CliRunner

from router_train.cli import app
from router_train.export.card import plain_card
from router_train.export.evaluations import CardEvaluation
from router_train.routers.checkpoint import load_router, read_meta
from router_train.routers.fixed import FixedRouter
from router_train.training.of_scan import static_of_scan
from search_cluster.errors import ConfigError, InvalidPathError, ModelError
from search_cluster.model.portable.base import CardBase
from search_cluster.model.portable.checkpoint import WrittenCheckpoint
from search_cluster.paths.layer_path import LayerPath

SKIP = LayerPath((0, 1, 2, 4, 5), tiny.NUM_LAYERS)
REPEAT = LayerPath((0, 1, 2, 1, 2, 3, 4, 5), tiny.NUM_LAYERS)


def make(
    scan: Path,
    out: Path,
    named: str | None = None,
    *,
    best: bool = False,
    force: bool = False,
) -> bool:
    """Whether the router was there before."""
    return static_of_scan(scan, out, named=named, best=best, force=force).already_finished


def test_the_router_runs_the_path_of_the_scan(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", scan_result([SKIP, REPEAT], chat="never"))
    assert not make(scan, tmp_path / "router")
    router, meta = load_router(tmp_path / "router", tiny_loaded())
    assert router == FixedRouter(SKIP)
    assert (meta.kind, meta.preset, meta.chat) == ("static", "scan", "never")
    assert meta.inputs.tasks == ("arc_easy", "elements")
    assert (meta.num_train, meta.num_validation) == (500, 1000)
    assert meta.metrics == {
        "test_num_questions": 2000,
        "test_gain": 0.05,
        "test_gain_low": pytest.approx(0.03),
        "test_gain_high": pytest.approx(0.07),
    }
    assert "did not choose this path" in meta.judged_on
    with pytest.raises(ModelError, match="was trained for model 'tiny'"):
        load_router(tmp_path / "router", tiny_loaded(fingerprint="a" * 32))


def test_the_same_router_is_kept_and_another_one_is_not_written_over(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", scan_result([SKIP], others=[REPEAT]))
    out = tmp_path / "router"
    assert not make(scan, out)
    before = (out / "router.json").read_bytes()
    assert make(scan, out)
    assert make(scan, out, "llama-quantize --prune-layers 3 in.gguf out.gguf copy")
    with pytest.raises(ConfigError, match=r"holds another router \(static 0-2,4-5\); choose"):
        make(scan, out, str(REPEAT))
    assert (out / "router.json").read_bytes() == before
    assert not make(scan, out, "blocks:1,3", force=True)
    meta = read_meta(out)
    assert meta.settings["path"] == str(REPEAT)
    assert meta.judged_on == "questions of the scan's train, which chose this path and flatter it"
    assert not make(scan, out, "0", force=True)
    assert (read_meta(out).metrics, read_meta(out).judged_on) == ({}, "")


def test_a_scan_that_is_not_sure_makes_no_router_by_itself(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", scan_result([SKIP], sure=False))
    with pytest.raises(ConfigError, match=r"is not sure .* with --best \(0-2,4-5\)"):
        make(scan, tmp_path / "router")
    assert not (tmp_path / "router").exists()
    assert not make(scan, tmp_path / "router", best=True)
    with pytest.raises(InvalidPathError, match=r"the model has layers 0\.\.5"):
        make(scan, tmp_path / "other", "0-9")


def test_questions_of_all_its_tasks_may_have_taught(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", scan_result([SKIP]))
    make(scan, tmp_path / "router")
    meta = read_meta(tmp_path / "router")
    for task, taught in (("arc_easy", True), ("elements", True), ("arc_easy + elements", False)):
        row = CardEvaluation(
            router="static", task=task, split="train", threshold=0.0, n=40, accuracy_plain=0.25,
            accuracy_routed=0.3, p_value=0.5, layers_plain=6.0, layers_routed=5.0,
        )  # fmt: skip
        card = plain_card(
            meta,
            [row],
            name="x",
            location="x",
            path=str(SKIP),
            num_layers=5,
            base=CardBase(title="x", hub_id=None),
            written=WrittenCheckpoint(versions=("5.23.0",), dtype="float32"),
        )
        assert ("`train` may have taught" in card) == taught, task


def test_the_command_says_what_is_known_of_the_path(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", scan_result([SKIP]))
    out = tmp_path / "router"
    arguments = ["static", str(scan), "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == (
        f"static router of path 0-2,4-5 saved in {out}\n"
        "test_num_questions 2000, test_gain 0.05, test_gain_low 0.03, test_gain_high 0.07, on "
        "questions of the scan's test, which did not choose this path\n"
        f"next: router-train evaluate --router {out} --task arc_easy --split test\n"
    )
    again = CliRunner().invoke(app, [*arguments, "--json"])
    value = json.loads(again.stdout)
    assert (value["already_finished"], value["path"]) == (True, "0-2,4-5")
    assert "already holds this router" in again.stderr
    done = CliRunner().invoke(app, ["static", str(tmp_path), "--out", str(out)])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: can't read {tmp_path}/scan.json")
    assert done.stderr.count("\n") == 1
