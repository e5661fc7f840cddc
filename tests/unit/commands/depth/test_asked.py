"""What a study's parts depend on: a folder that was begun otherwise is not gone on with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.own_task import write_own_task
from support.scanned import scan_result, write_scan
from support.tiny import NUM_LAYERS, save_tiny_model

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.commands.depth.parts import PartStore
from search_cluster.commands.depth.run import run_depth
from search_cluster.commands.model import load_configured
from search_cluster.config import SearchConfig
from search_cluster.depth.settings import DepthSettings
from search_cluster.errors import ConfigError
from search_cluster.model.lens.folder import save_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.paths.layer_path import LayerPath

SKIP = LayerPath((0, 1, 2, 4, 5), NUM_LAYERS)


class StoppedError(Exception):
    """Parts would be read now."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("asked") / "model"))


@pytest.fixture
def request_of(model: str, tmp_path: Path) -> Callable[..., StudyRequest]:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"the number {n} is the answer of the city" for n in range(200)))
    return lambda **changed: replace(
        StudyRequest(
            config=SearchConfig(model=model, device="cpu", dtype="float32"),
            settings=DepthSettings(positions=40, questions=10, bias_positions=0),
            task="elements",
            lens="logit",
            text=text,
            pos=None,
            facts=None,
            paths=(),
            out=tmp_path / "out",
        ),
        **changed,
    )


@pytest.fixture(autouse=True)
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every study ends before its first part."""

    def arrays(store: PartStore, name: str, make: object) -> None:
        raise StoppedError

    monkeypatch.setattr(PartStore, "arrays", arrays)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"wrong": 7}, id="a right answer is corrected"),
        pytest.param({"num_questions": 41}, id="a row is added"),
    ],
)
def test_other_questions_of_a_task_are_another_study(
    changed: dict[str, int], request_of: Callable[..., StudyRequest], tmp_path: Path
) -> None:
    request = request_of(task=str(write_own_task(tmp_path)))
    for _ in range(2):
        with pytest.raises(StoppedError):
            run_depth(request)
    write_own_task(tmp_path, **changed)
    with pytest.raises(ConfigError, match="was begun with examples '"):
        run_depth(request)


def test_another_lens_in_the_same_folder_is_another_study(
    request_of: Callable[..., StudyRequest], tmp_path: Path
) -> None:
    request = request_of(lens=str(tmp_path / "lens"))
    loaded = load_configured(request.config)
    logit = Lens.logit(loaded.model)

    def refit(by: float) -> None:
        fitted = replace(logit, kind=LensKind.RIDGE, bias_LD=logit.bias_LD + by)
        save_lens(tmp_path / "lens", fitted, loaded)

    refit(0.1)
    for _ in range(2):
        with pytest.raises(StoppedError):
            run_depth(request)
    refit(0.2)
    with pytest.raises(ConfigError, match="was begun with lens '"):
        run_depth(request)


def test_paths_of_another_model_are_refused(
    request_of: Callable[..., StudyRequest], model: str, tmp_path: Path
) -> None:
    request = request_of(task=str(tmp_path / "scan"))
    scanned = scan_result([SKIP], model="demo+bridges=b", tasks=("elements",), chat="never")
    write_scan(tmp_path / "scan", scanned)
    said = r"run of model demo\+bridges=b with the fingerprint f+, and this model has .* pass "
    with pytest.raises(ConfigError, match=said + r"--model demo\+bridges=b --dtype float32 --chat"):
        run_depth(request)
    own = replace(scanned, model_fingerprint=load_configured(request.config).fingerprint)
    write_scan(tmp_path / "scan", own)
    with pytest.raises(StoppedError):
        run_depth(request)
