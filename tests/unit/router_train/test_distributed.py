"""Two processes that train together, without Ray: they give the router of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.router_corpus import fruit_example, fruit_task, record, tiny_loaded, write_corpus

from router_train.config import FitConfig
from router_train.data import feature_store
from router_train.distributed import ProcessGroup, current_process_group
from router_train.training.fit import fit
from search_cluster.corpus import task as corpus_task

TESTS = Path(__file__).parents[2]
ROUTERS = ("drllm", "polar", "early-exit")
DECISIONS = ((1, 0, 1, 1, 1, 1), (1, 1, 2, 1, 0, 1), (1, 1, 1, 1, 1, 1))
WORKER = """
import sys
from pathlib import Path
from torch import distributed
sys.path.insert(0, "{tests}/unit/router_train")
import test_distributed
from search_cluster.corpus import task as corpus_task
corpus_task.get_task = lambda spec: test_distributed.fruit_task()
distributed.init_process_group(
    "gloo", init_method="file://{folder}/meeting", rank=int(sys.argv[1]), world_size=2
)
test_distributed.train(Path("{folder}"), "together")
distributed.destroy_process_group()
"""


def train(folder: Path, name: str) -> None:
    """Train all kinds on the corpus, with features five to a file."""
    feature_store.ROWS_PER_FILE = 5
    loaded = tiny_loaded()
    for router in ROUTERS:
        config = FitConfig(
            router=router, epochs=3, batch_size=5, bottleneck=8, num_windows=2, max_drop=50.0
        )
        fit(
            folder / "corpus",
            folder / name / router,
            config,
            lambda *_: loaded,
            task_spec=None,
            force=False,
        )


def test_two_processes_train_the_routers_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_task, "get_task", lambda spec: fruit_task())
    monkeypatch.setattr(feature_store, "ROWS_PER_FILE", 5)
    records = [record(fruit_example(number), DECISIONS[number % 3]) for number in range(27)]
    write_corpus(tmp_path / "corpus", records, task=fruit_task())
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER.format(tests=TESTS, folder=tmp_path), str(rank)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
                "OMP_NUM_THREADS": "1",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    train(tmp_path, "alone")
    for worker in workers:
        _, errors = worker.communicate(timeout=250)
        assert worker.returncode == 0, errors
    for router in ROUTERS:
        first, second = (
            load_file(tmp_path / name / router / "router.safetensors")
            for name in ("alone", "together")
        )
        assert first.keys() == second.keys()
        for key, tensor in first.items():
            matters = slice(None)
            if key.endswith("in_proj_bias"):
                # Attention does not depend on its keys' bias; AdamW blows up the rounding noise of
                # that gradient.
                matters = [*range(len(tensor) // 3), *range(2 * len(tensor) // 3, len(tensor))]
            expected = pytest.approx(tensor[matters].numpy(), rel=1e-3, abs=1e-5)
            assert second[key][matters].numpy() == expected, (router, key)
    curves = [
        (tmp_path / name / "drllm" / "curve.jsonl").read_text().count("\n")
        for name in ("alone", "together")
    ]
    assert curves[0] == curves[1] > 0
    names = [
        {file.name for file in (tmp_path / name / "features").iterdir()}
        for name in ("alone", "together")
    ]
    assert names[0] == names[1], "processes share parts of the same features"


def test_parts_of_a_batch_are_the_batch() -> None:
    rows = torch.arange(7)
    parts = [ProcessGroup(rank, 3).share(rows) for rank in range(3)]
    assert sorted(torch.cat(parts).tolist()) == list(range(7))
    assert [
        [number for number in range(5) if ProcessGroup(rank, 2).is_mine(number)] for rank in (0, 1)
    ] == [
        [0, 2, 4],
        [1, 3],
    ]


def test_a_process_alone_is_a_group_of_one() -> None:
    group = current_process_group()
    assert (group, group.leads) == (ProcessGroup(0, 1), True)
    assert group.collect([(1, "b"), (0, "a")]) == ["a", "b"]
    value = torch.ones(2)
    assert group.add_up(value) is value
    group.wait_for_all()
