"""A fit into a folder in which something is already."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny import save_tiny_model

from search_cluster.commands.lens.fit import fit
from search_cluster.commands.lens.judge import judge
from search_cluster.commands.lens.settings import LensFitConfig, LensTextConfig
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError

ASKED = LensTextConfig(task="capitals", tokens=1500)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SearchConfig:
    model = save_tiny_model(tmp_path_factory.mktemp("finished") / "model")
    return SearchConfig(model=str(model), device="cpu", dtype="float32")


def fitted(config: SearchConfig, out: Path, format_: str = "tuned-lens") -> dict[str, Any]:
    settings = LensFitConfig(held_out_tokens=64, format=format_)
    return fit(config, ASKED, settings, down_weight=(), out=out)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("damage", ["no params", "half of params", "other params", "no config"])
def test_a_damaged_lens_is_fitted_again(
    config: SearchConfig, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, params = tmp_path / "lens", tmp_path / "lens" / "params.pt"
    fitted(config, out)
    whole = contents(out)
    match damage:
        case "no params":
            params.unlink()
        case "half of params":
            params.write_bytes(whole["params.pt"][:2000])
        case "other params":
            fit(config, ASKED, LensFitConfig(held_out_tokens=64, kind="bias"), down_weight=(),
                out=tmp_path / "bias")  # fmt: skip
            params.write_bytes((tmp_path / "bias" / "params.pt").read_bytes())
        case _:
            (out / "config.json").unlink()
    assert fitted(config, out)["seconds"] > 0
    assert f"{out} is damaged, so the lens is fitted again (" in caplog.text
    assert contents(out) == whole
    assert judge(config, LensTextConfig(task="elements", tokens=200), lens=str(out), one_off=False)


def test_a_description_that_can_not_be_read_says_what_to_do(
    config: SearchConfig, tmp_path: Path
) -> None:
    out = tmp_path / "lens"
    fitted(config, out)
    (out / "lens.json").write_text("{")
    with pytest.raises(ConfigError, match=r"lens.json is not a lens .*; fit the lens to a new fo"):
        fitted(config, out)


@pytest.mark.parametrize("name", ["params.pt", "params.safetensors", "config.json"])
def test_what_another_tool_wrote_is_not_written_over(
    config: SearchConfig, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("theirs")
    with pytest.raises(ConfigError, match=f"{name} without lens.json, .* folder with --out"):
        fitted(config, tmp_path)
    assert contents(tmp_path) == {name: b"theirs"}


def test_a_fit_that_was_cut_while_it_wrote_goes_on(config: SearchConfig, tmp_path: Path) -> None:
    out = tmp_path / "lens"
    fitted(config, out)
    whole = contents(out)
    (out / "lens.json").unlink()  # which is written last
    (out / ".unfinished").mkdir()
    fitted(config, out)
    assert contents(out) == whole


def test_a_finished_lens_is_written_in_the_format_that_is_asked_for(
    config: SearchConfig, tmp_path: Path
) -> None:
    out = tmp_path / "lens"
    first = fitted(config, out)
    whole = contents(out)
    assert fitted(config, out, "safetensors")["seconds"] == 0
    assert sorted(contents(out)) == ["config.json", "lens.json", "params.safetensors"]
    assert json.loads((out / "lens.json").read_text())["digest"] == first["digest"]
    fitted(config, out)
    assert contents(out) == whole


def test_a_finished_lens_says_as_much_as_a_new_one(config: SearchConfig, tmp_path: Path) -> None:
    first, again = (json.loads(json.dumps(fitted(config, tmp_path / "lens"))) for _ in range(2))
    assert list(again) == list(first)
    changing = {name for name in first if first[name] != again[name]}
    assert changing <= {"seconds", "seconds_texts", "seconds_all", "peak_bytes"}
    assert (again["seconds"], again["seconds_texts"]) == (0, 0)
