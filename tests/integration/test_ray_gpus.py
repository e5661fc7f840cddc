"""Several workers on one GPU, which Ray believes to be there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny

PROGRAM = """
import json, sys
from search_cluster.cluster.environment import prepare_ray_environment

prepare_ray_environment("local")
import ray
from search_cluster.cluster.placement import place_workers
from search_cluster.cluster.ray_pool import ask_for_workers
from search_cluster.cluster.session import connect_ray, disconnect_ray
from search_cluster.config import SearchConfig
from search_cluster.workers.messages import WorkerSpec

connect_ray("local", min_cpus=9, min_gpus=1)


@ray.remote(num_cpus=0)
class Part:
    def gpus(self):
        return ray.get_gpu_ids()


def placed(workers_per_gpu, num_more=1):
    config = SearchConfig(workers_per_gpu=workers_per_gpu)
    placement = place_workers(config, [1], num_cpus=1)
    parts = [
        Part.options(num_gpus=placement.num_gpus_per_worker).remote()
        for _ in range(placement.num_workers)
    ]
    gpus = ray.get([part.gpus.remote() for part in parts], timeout=60)
    one_more = Part.options(num_gpus=placement.num_gpus_per_worker).remote()
    found_room, _ = ray.wait([one_more.gpus.remote()], timeout=2)
    for part in (*parts, one_more):
        ray.kill(part)
    return gpus, len(found_room)


sevenths = placed(7)
spec = WorkerSpec(
    model=sys.argv[1], dtype="auto", device="cpu", revision=None, trust_remote_code=False,
    chat="auto", task="capitals", num_threads=1, workers_per_gpu=2,
)
fleet = ask_for_workers(spec, num_workers=3, num_gpus_per_worker=0.5)
fleet.wait()
ready = len(fleet.ready())
print(json.dumps({"sevenths": sevenths, "ready": ready, "missing": fleet.missing()}))
fleet.close()
disconnect_ray()
"""


@pytest.mark.ray
def test_as_many_workers_as_are_asked_for_find_room_on_a_gpu_and_no_more(tmp_path: Path) -> None:
    folder = tiny.save_tiny_model(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    gpus, num_more = said["sevenths"]
    assert gpus == [[0]] * 7
    assert num_more == 0
    assert said["ready"] == 2
    assert "each asks for 1 CPU, 0.5 GPU" in said["missing"]
