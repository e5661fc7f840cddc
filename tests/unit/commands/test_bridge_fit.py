"""``search-cluster bridge fit`` on a tiny model."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command import call, run_json

from search_cluster.lock import lock_run_folder
from search_cluster.model.bridge.folder import read_bridges_record

PATH = "0-1,4"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save_tiny_model(tmp_path_factory.mktemp("model") / "llama"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    lines = [f"the answer {number} is the capital city of the number" for number in range(1200)]
    path.write_text("\n".join(lines))
    return path


def fit(model_dir: str, text: Path, out: Path, *more: str) -> dict[str, Any]:
    return run_json(
        *("search-cluster", "bridge", "fit", "--model", model_dir, "--text", str(text)),
        *("--judge-tokens", "600", "--out", str(out)),
        *(more or ("--path", PATH, "--tokens", "21000")),
    )


@pytest.fixture(scope="module")
def bridges(
    model_dir: str, text: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("bridges") / "b"
    return out, fit(model_dir, text, out)


def test_a_fit_says_what_it_promises(bridges: tuple[Path, dict[str, Any]]) -> None:
    out, said = bridges
    assert said["jumps"] == ["1:4", "4:6"]
    assert said["divergence"] < said["divergence_bare"]
    assert said["cut"] == pytest.approx(1 - said["divergence"] / said["divergence_bare"], abs=1e-3)
    assert set(said["divergence_at_equal_cost"]) == {"bias", "scalar"}
    assert 200 <= said["held_out_tokens"] <= 600
    assert said["held_out_text"].endswith("held out")
    assert 15_000 < said["fitted_tokens"] < said["tokens"] <= 21_100
    assert said["layers_saved"] == pytest.approx(3 - said["bridge_cost_layers"], abs=1e-3)
    assert said["seconds"] > 0
    record = read_bridges_record(out)
    assert record.digest == said["digest"]
    assert sorted(path.name for path in out.iterdir()) == [
        ".writer.lock",
        "bridges.safetensors",
        "config.json",
    ]


def test_the_same_command_gives_the_same_files(
    bridges: tuple[Path, dict[str, Any]], model_dir: str, text: Path, tmp_path: Path
) -> None:
    out, said = bridges
    again = fit(model_dir, text, tmp_path / "b")
    assert again["digest"] == said["digest"]
    for name in ("bridges.safetensors", "config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (out / name).read_bytes()
    finished = fit(model_dir, text, out)
    assert finished["seconds"] == 0.0
    assert finished["divergence"] == said["divergence"]


def test_a_damaged_set_is_fitted_again(model_dir: str, tmp_path: Path) -> None:
    def fitted(out: Path) -> dict[str, Any]:
        return run_json(
            *("search-cluster", "bridge", "fit", "--model", model_dir, "--jump", "1:4"),
            *("--task", "capitals", "--tokens", "6000", "--judge-tokens", "300"),
            *("--out", str(out)),
        )

    out = tmp_path / "b"
    said = fitted(out)
    tensors = out / "bridges.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-100])
    assert fitted(out)["digest"] == said["digest"]
    assert tensors.read_bytes() == whole
    assert fitted(out)["seconds"] == 0.0


def test_a_folder_keeps_one_set(
    bridges: tuple[Path, dict[str, Any]], model_dir: str, text: Path
) -> None:
    out, _ = bridges
    done = call(
        *("search-cluster", "bridge", "fit", "--model", model_dir, "--text", str(text)),
        *("--jump", "0:3", "--out", str(out)),
    )
    assert done.returncode == 2
    assert "holds bridges of other texts, paths or another model" in done.stderr


def test_of_two_at_once_the_second_is_refused(model_dir: str, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "b"
    lock = lock_run_folder(out)
    try:
        done = call(
            *("search-cluster", "bridge", "fit", "--model", model_dir, "--text", str(text)),
            *("--path", PATH, "--out", str(out)),
        )
    finally:
        os.close(lock)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith(f"error: another process writes into {out}")
    assert [path.name for path in out.iterdir()] == [".writer.lock"]


def test_maps_are_distilled_beside_the_closed_form(
    model_dir: str, text: Path, tmp_path: Path
) -> None:
    out = tmp_path / "b"
    flags = ("--path", PATH, "--tokens", "12000", "--kind", "distilled", "--epochs", "1")
    said = fit(model_dir, text, out, *flags)
    assert said["kind"] == "distilled"
    assert set(said["divergence_at_equal_cost"]) == {"bias", "scalar", "linear"}
    how = said["distillation"]
    assert how["started_from"] == "linear"
    assert 0 < how["best_step"] <= how["steps"]
    assert how["choosing_divergence"] < how["choosing_divergence_before"]
    assert said["divergence"] < said["divergence_bare"]
    assert sorted(path.name for path in out.iterdir()) == [
        ".writer.lock",
        "bridges.safetensors",
        "config.json",
    ]
    again = fit(model_dir, text, tmp_path / "again", *flags)
    assert again["digest"] == said["digest"]
    for name in ("bridges.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    other = call(
        *("search-cluster", "bridge", "fit", "--model", model_dir, "--text", str(text)),
        *(*flags, "--judge-tokens", "600", "--rate", "0.01", "--out", str(out)),
    )
    assert other.returncode == 2
    assert "holds bridges of other texts, paths or another model" in other.stderr


def test_text_that_taught_does_not_judge(model_dir: str, text: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(text.read_bytes())
    done = call(
        *("search-cluster", "bridge", "fit", "--model", model_dir, "--text", str(text)),
        *("--judge-text", str(copy), "--path", PATH, "--out", str(tmp_path / "b")),
    )
    assert done.returncode == 2
    assert f"--judge-text {copy} holds the same as --text {text}" in done.stderr.splitlines()[-1]


def test_too_little_text_to_judge_by_is_known_before_the_fit(
    model_dir: str, text: Path, tmp_path: Path
) -> None:
    def call_with(tokens: str) -> Any:
        return call(
            *("search-cluster", "bridge", "fit", "--model", model_dir, "--text", str(text)),
            *("--path", PATH, "--tokens", tokens, "--out", str(tmp_path / "b")),
        )

    done = call_with("5000")
    assert done.returncode == 2
    said = re.search(
        r"5010 tokens of text .* are 10 texts, .* at least 20 texts \(about --tokens (\d+)\)",
        done.stderr.splitlines()[-1],
    )
    assert said is not None
    assert "bridges: texts" not in done.stderr
    assert not (tmp_path / "b").exists()
    assert call_with(said[1]).returncode == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--path", PATH), "0 kinds of text are named"),
        (("--path", PATH, "--self", "--task", "capitals"), "2 kinds of text are named"),
        (("--self",), "nothing is named to bridge; give --path or --jump"),
        (("--path", "0-5", "--self"), "leave out no layer"),
        (("--jump", "3:4", "--self"), "jump '3:4' is none of a model of 6 layers"),
    ],
)
def test_misuse_is_one_line(
    model_dir: str, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    done = call(
        *("search-cluster", "bridge", "fit", "--model", model_dir, "--tokens", "600"),
        *("--out", str(tmp_path / "b"), *flags),
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_prompts_of_a_task_and_the_models_own_text_will_do(model_dir: str, tmp_path: Path) -> None:
    for name, flags in (("task", ("--task", "capitals")), ("own", ("--self",))):
        said = run_json(
            *("search-cluster", "bridge", "fit", "--model", model_dir, "--jump", "1:4", *flags),
            *("--tokens", "6000", "--judge-tokens", "300", "--out", str(tmp_path / name)),
        )
        assert said["jumps"] == ["1:4"]
        assert said["divergence"] < said["divergence_bare"]
