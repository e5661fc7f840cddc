"""Layers in contiguous blocks whose weights are even, embeddings and head included."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from search_cluster.model.devices.split import fullest_bytes, split_layers


def test_ends_that_are_heavy_leave_their_devices_fewer_layers() -> None:
    assert split_layers([1] * 8, 4) == (2, 2, 2, 2)
    assert split_layers([10] * 8, 2, first_bytes=20) == (3, 5)
    assert split_layers([10] * 8, 2, last_bytes=20) == (5, 3)
    assert split_layers([10] * 8, 4, first_bytes=100, last_bytes=100) == (1, 3, 3, 1)


@given(
    layer_bytes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    num_devices=st.integers(1, 9),
    first_bytes=st.integers(0, 20),
    last_bytes=st.integers(0, 20),
)
def test_no_other_split_has_a_less_full_device(
    layer_bytes: list[int], num_devices: int, first_bytes: int, last_bytes: int
) -> None:
    num_devices = min(num_devices, len(layer_bytes))
    ends = {"first_bytes": first_bytes, "last_bytes": last_bytes}
    counts = split_layers(layer_bytes, num_devices, **ends)
    assert sum(counts) == len(layer_bytes)
    assert min(counts) >= 1

    def all_splits() -> list[list[int]]:
        cuts = combinations(range(1, len(layer_bytes)), num_devices - 1)
        edges = [[0, *cut, len(layer_bytes)] for cut in cuts]
        return [[b - a for a, b in pairwise(edge)] for edge in edges]

    best = min(fullest_bytes(layer_bytes, split, **ends) for split in all_splits())
    assert fullest_bytes(layer_bytes, counts, **ends) == best
