"""One worker per GPU, else per core; GPUs that an autoscaler took away are asked for."""

import pytest

from search_cluster.cluster.placement import GPU_STEPS, Placement, place_workers, room_for_workers
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "num_gpus", "num_cpus", "num_workers", "num_gpus_per_worker"),
    [
        ({}, 4, 64, 4, 1),
        ({"workers": 2}, 4, 64, 2, 1),
        ({"device": "cpu"}, 4, 64, 8, 0),
        ({}, 0, 3, 3, 0),
        ({"threads_per_worker": 2}, 0, 5, 2, 0),
        ({"threads_per_worker": 9}, 0, 5, 1, 0),
        ({"workers": 20}, 0, 3, 20, 0),
        ({"device": "cuda", "ray": "auto", "workers": 6}, 0, 4, 6, 1),
        ({"workers_per_gpu": 4}, 2, 64, 8, 0.25),
        ({"workers_per_gpu": 4, "workers": 3}, 2, 64, 3, 0.25),
        ({"workers_per_gpu": 3}, 1, 64, 3, 0.3333),
        ({"workers_per_gpu": 7}, 1, 64, 7, 0.1428),
        ({"workers_per_gpu": 4}, 0, 3, 3, 0),
        ({"workers_per_gpu": 4, "device": "cpu"}, 2, 3, 3, 0),
        ({"device": "cuda", "ray": "local", "workers": 6}, 0, 4, 6, 0),
    ],
)
def test_workers_follow_the_devices(
    settings: dict[str, object],
    num_gpus: int,
    num_cpus: int,
    num_workers: int,
    num_gpus_per_worker: float,
) -> None:
    config = SearchConfig().overridden(settings)
    wanted = Placement(num_workers=num_workers, num_gpus_per_worker=num_gpus_per_worker)
    assert place_workers(config, [num_gpus], num_cpus=num_cpus) == wanted


def test_all_parts_of_a_gpu_fit_as_ray_counts_them() -> None:
    for workers_per_gpu in range(1, 65):
        config = SearchConfig(workers_per_gpu=workers_per_gpu)
        placement = place_workers(config, [1], num_cpus=1)
        in_steps = round(placement.num_gpus_per_worker * GPU_STEPS)
        assert workers_per_gpu * in_steps <= GPU_STEPS
        assert (workers_per_gpu + 1) * in_steps > GPU_STEPS, "another worker would be placed, too"


def test_gpus_that_are_gone_need_a_number() -> None:
    config = SearchConfig(device="cuda", ray="auto", workers_per_gpu=2)
    text = "no GPU at the moment; say how many --workers are wanted, 2 for each GPU"
    with pytest.raises(ConfigError, match=text):
        place_workers(config, [0], num_cpus=4)


@pytest.mark.parametrize(
    ("settings", "num_gpus_per_worker", "num_gpus", "num_cpus", "num_workers"),
    [
        ({}, 1.0, 12, 64, 12),
        ({"workers_per_gpu": 4}, 0.25, 3, 64, 12),
        ({}, 1.0, 0, 64, 0),  # all GPUs are gone for the moment: no workers on CPUs instead
        ({"workers": 5}, 1.0, 12, 64, 5),
        ({}, 0, 0, 6, 6),
        ({}, 0, 8, 64, 8),
    ],
)
def test_room_for_more_workers_is_counted_in_what_the_others_are_on(
    settings: dict[str, object],
    num_gpus_per_worker: float,
    num_gpus: int,
    num_cpus: int,
    num_workers: int,
) -> None:
    config = SearchConfig(ray="auto").overridden(settings)
    placement = Placement(num_workers=2, num_gpus_per_worker=num_gpus_per_worker)
    room = room_for_workers(config, placement, [num_gpus], num_cpus=num_cpus)
    assert room == num_workers


@pytest.mark.parametrize(
    ("settings", "gpus", "num_workers"),
    [
        ({"devices_per_worker": 2}, [8, 8], 8),
        ({"devices_per_worker": 4}, [8, 2, 4], 3),  # none is spread over two nodes
        ({"devices_per_worker": 4, "workers": 1}, [8, 8], 1),
        ({"devices_per_worker": 2, "device": "cuda", "ray": "auto", "workers": 3}, [], 3),
    ],
)
def test_a_worker_may_have_several_gpus_of_one_node(
    settings: dict[str, object], gpus: list[int], num_workers: int
) -> None:
    config = SearchConfig(ray="auto").overridden(settings)
    placement = place_workers(config, gpus, num_cpus=64)
    each = config.devices_per_worker
    assert placement == Placement(num_workers=num_workers, num_gpus_per_worker=each)
    if config.workers is None:
        assert room_for_workers(config, placement, [*gpus, each], num_cpus=64) == num_workers + 1


@pytest.mark.parametrize(
    ("settings", "gpus", "text"),
    [
        ({}, [2, 2], "is 4, and no node has more than 2 GPUs; a worker's devices are on one node"),
        ({}, [], "devices_per_worker is 4, and there is no GPU; leave it out"),
        ({"device": "cuda"}, [], "say how many --workers are wanted, one for each 4 GPUs"),
    ],
)
def test_devices_that_no_node_has_are_one_line(
    settings: dict[str, object], gpus: list[int], text: str
) -> None:
    config = SearchConfig(ray="auto", devices_per_worker=4).overridden(settings)
    with pytest.raises(ConfigError, match=text):
        place_workers(config, gpus, num_cpus=4)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"devices_per_worker": 0}, "devices_per_worker is 0; it is at least 1"),
        ({"devices_per_worker": 2, "device": "cpu"}, "is 2, and device is cpu; .* leave one of"),
        (
            {"devices_per_worker": 2, "workers_per_gpu": 3},
            "is 2, and workers_per_gpu 3; a worker has part of one GPU or several whole ones",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_line(
    settings: dict[str, object], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        SearchConfig().overridden(settings)
