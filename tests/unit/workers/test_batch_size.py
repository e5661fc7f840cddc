import pytest

from search_cluster.workers.batch_size import MAX_REQUESTS, MIN_REQUESTS, TARGET_S, BatchSize


def settle(batch_s: float, path_s: float) -> BatchSize:
    """After many batches on a device that takes so long per batch and per path."""
    size = BatchSize()
    for _ in range(60):
        size.learn(size.value, batch_s + size.value * path_s)
    return size


def test_a_given_size_stays() -> None:
    size = BatchSize(7)
    size.learn(7, 0.0001)
    assert size.value == 7


def test_batches_of_a_fast_device_are_worth_the_target() -> None:
    size = settle(batch_s=0.01, path_s=0.001)
    assert 0.01 + size.value * 0.001 == pytest.approx(TARGET_S, rel=0.05)


@pytest.mark.parametrize(
    ("path_s", "value"), [(1.0, MIN_REQUESTS), (1e-7, MAX_REQUESTS), (0.0, MAX_REQUESTS)]
)
def test_sizes_have_bounds(path_s: float, value: int) -> None:
    assert settle(batch_s=0.0, path_s=path_s).value == value


def test_one_slow_batch_does_not_turn_everything_over() -> None:
    size = settle(batch_s=0.0, path_s=0.001)
    before = size.value
    size.learn(before, 2 * before * 0.001)
    assert 0.7 * before < size.value < before
