"""The GPUs that a process sees, in groups of as many as a worker has."""

import pytest

from search_cluster.workers import device_groups
from search_cluster.workers.device_groups import first_devices


@pytest.mark.parametrize(
    ("num_gpus", "num_devices", "num_workers", "wanted"),
    [
        (8, 1, 4, ("cuda",)),  # workers of one device share it, as ever
        (8, 2, 1, ("cuda",)),
        (8, 2, 4, ("cuda:0", "cuda:2", "cuda:4", "cuda:6")),
        (8, 2, 9, ("cuda:0", "cuda:2", "cuda:4", "cuda:6")),
        (8, 3, 4, ("cuda:0", "cuda:3")),
        (2, 4, 4, ("cuda",)),  # loading says that there are too few
    ],
)
def test_groups_lie_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
    num_gpus: int,
    num_devices: int,
    num_workers: int,
    wanted: tuple[str, ...],
) -> None:
    monkeypatch.setattr(device_groups, "num_visible_gpus", lambda: num_gpus)
    assert first_devices("cuda", num_devices, num_workers) == wanted


def test_a_device_with_a_number_is_the_first_of_the_only_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_groups, "num_visible_gpus", lambda: 8)
    assert first_devices("cuda:4", 2, 4) == ("cuda:4",)
