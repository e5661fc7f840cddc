"""What two Ray evaluators give over one, and what Ray costs: real model, real paths, one run, medians.

Compared: one in-process worker, a Ray pool of one actor, a Ray pool of two; one thread each. Prints one JSON line.
"""

import json
import random
import statistics
import time
from contextlib import closing

from search_cluster.evaluation.evaluator import PathEvaluator
from search_cluster.evaluation.messages import EvaluationRequest, Failure
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tree.presets.drllm import STRATEGY
from search_cluster.workers.local_pool import LocalPool
from search_cluster.workers.path_worker import WorkerSpec
from search_cluster.workers.ray_environment import prepare_ray_environment

NUM_REQUESTS = 60
ROUNDS = 3
SPEC = WorkerSpec(
    model="demo",
    dtype="auto",
    device="cpu",
    revision=None,
    trust_remote_code=False,
    task="capitals",
    num_threads=1,
)


def make_requests(num_layers: int) -> list[EvaluationRequest]:
    """Paths that are a few random legal moves away from identity, each on another question."""
    rng = random.Random(0)
    examples = select_examples(get_task(SPEC.task).load("train", None).examples, NUM_REQUESTS, 0)
    requests = []
    for request_id, example in enumerate(examples):
        path = LayerPath.identity(num_layers)
        for _ in range(rng.randint(0, 4)):
            path = rng.choice(STRATEGY.space.successors(path))
        requests.append(EvaluationRequest(request_id=request_id, example=example, path=path))
    return requests


def paths_per_s(evaluator: PathEvaluator, requests: list[EvaluationRequest]) -> float:
    """Verdicts per second of wall-clock."""
    started_s = time.perf_counter()
    evaluator.submit(requests)
    num_done = 0
    while num_done < len(requests):
        results = evaluator.collect()
        assert not any(isinstance(result.outcome, Failure) for result in results)
        num_done += len(results)
    return num_done / (time.perf_counter() - started_s)


def main() -> None:
    """Measure the three pools in turn, each warmed up by one round."""
    prepare_ray_environment("local")
    from search_cluster.workers.ray_pool import RayPool
    from search_cluster.workers.ray_session import connect_ray, disconnect_ray

    rates: dict[str, float] = {}
    with closing(LocalPool(SPEC)) as local:
        requests = make_requests(local.info.num_layers)
        paths_per_s(local, requests)
        rates["local_1"] = statistics.median(paths_per_s(local, requests) for _ in range(ROUNDS))
    connect_ray("local", min_cpus=2)
    for num_workers in (1, 2):
        with closing(RayPool(SPEC, num_workers=num_workers)) as pool:
            paths_per_s(pool, requests)
            rates[f"ray_{num_workers}"] = statistics.median(paths_per_s(pool, requests) for _ in range(ROUNDS))
    disconnect_ray()
    print(
        json.dumps(
            {
                "paths_per_s": {name: round(rate, 2) for name, rate in rates.items()},
                "ray_over_local": round(rates["ray_1"] / rates["local_1"], 3),
                "two_workers_speedup": round(rates["ray_2"] / rates["ray_1"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
