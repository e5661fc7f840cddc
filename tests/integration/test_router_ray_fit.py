"""Training by several workers of a Ray cluster gives the router of one process."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from support import tiny
from support.router_corpus import record, write_corpus

from router_train.config import FitConfig
from router_train.inference.model_choice import ModelChoice
from router_train.training.fit import fit
from search_cluster.errors import ConfigError
from search_cluster.model.load.loading import load_model
from search_cluster.tasks.registry import get_task

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("ray_cluster"),
    pytest.mark.filterwarnings(
        "default::DeprecationWarning"
    ),  # Ray Data, which Ray Train imports, warns of itself
]

DECISIONS = ((1, 0, 1, 1, 1, 1), (1, 1, 2, 1, 0, 1), (1, 1, 1, 1, 1, 1))
CPU = ModelChoice(spec=None, device="cpu", dtype=None, trust_remote_code=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model`` and ``corpus``, whose 23 labels no batch of 5 divides."""
    folder = tmp_path_factory.mktemp("place")
    tiny.save_tiny_model(folder / "model", chat=True)
    task = get_task("elements")
    records = [
        record(example, DECISIONS[number % 3])
        for number, example in enumerate(task.load("train", None).examples[:27])
    ]
    model = str(folder / "model")
    fingerprint = load_model(model, self_test=False).fingerprint
    write_corpus(folder / "corpus", records, task=task, model_spec=model, fingerprint=fingerprint)
    return folder


@pytest.mark.soak  # starting Ray Train's workers twice takes more than a minute
def test_two_workers_train_the_router_of_one(place: Path, tmp_path: Path) -> None:
    from router_train.training.ray_fit import fit_on_ray

    config = FitConfig(
        router="drllm", epochs=3, batch_size=5, bottleneck=8, num_windows=4, learning_rate=0.01
    )
    alone = fit(place / "corpus", tmp_path / "alone", config, CPU.load, task_spec=None, force=False)

    def together(**more: object) -> object:
        options = {"task_spec": None, "force": False, "mode": "auto", "num_workers": 2, **more}
        return fit_on_ray(place / "corpus", tmp_path / "routers" / "group", config, CPU, **options)  # type: ignore[arg-type]

    group = together()
    assert (group.already_finished, group.meta.inputs) == (False, alone.meta.inputs)
    assert group.meta.metrics == pytest.approx(alone.meta.metrics, rel=1e-3, abs=1e-4)
    first, second = (
        load_file(folder / "router.safetensors")
        for folder in (tmp_path / "alone", tmp_path / "routers" / "group")
    )
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert second[name].numpy() == pytest.approx(tensor.numpy(), rel=1e-3, abs=1e-4), name
    curve = (tmp_path / "routers" / "group" / "curve.jsonl").read_text().splitlines()
    assert len(curve) == len((tmp_path / "alone" / "curve.jsonl").read_text().splitlines())
    assert together().already_finished


def test_a_group_needs_workers_and_leaves_devices_to_ray(place: Path, tmp_path: Path) -> None:
    from router_train.training.ray_fit import fit_on_ray

    options = {"task_spec": None, "force": False, "mode": "auto"}
    with pytest.raises(ConfigError, match="num_workers is 0; at least 1 worker trains"):
        fit_on_ray(place / "corpus", tmp_path, FitConfig(), CPU, num_workers=0, **options)  # type: ignore[arg-type]
    one_gpu = ModelChoice(spec=None, device="cuda:1", dtype=None, trust_remote_code=False)
    with pytest.raises(
        ConfigError, match="device is 'cuda:1'; Ray chooses which GPU a worker gets"
    ):
        fit_on_ray(place / "corpus", tmp_path, FitConfig(), one_gpu, num_workers=1, **options)  # type: ignore[arg-type]


def test_machine_a_worker_that_memory_killed_is_told_by_that() -> None:
    from search_cluster.cluster import training

    def told(text: str) -> str:
        error = RuntimeError("Training failed due to worker errors")
        error.worker_failures = {0: RuntimeError(text)}  # type: ignore[attr-defined]
        return training._cause(error)

    killed = "1 worker(s) were killed due to the node running low on memory. Memory on the node was"
    assert told(f"Error:\n{killed} 15.2GB used / 16GB limit\n- objects spillable: 0\nsee docs") == (
        f"{killed} 15.2GB used / 16GB limit; ask for fewer --num-workers: each of them holds the "
        "model"
    )
    assert told("Traceback\n  File ...\nValueError: no label") == "ValueError: no label"
    assert training._cause(RuntimeError()) == "RuntimeError"
