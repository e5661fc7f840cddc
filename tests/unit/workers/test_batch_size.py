"""The batch size follows a device's costs: fast enough soon, no longer than that takes."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.workers.batch_size import (
    MAX_BATCH_S,
    MAX_REQUESTS,
    MIN_BATCH_S,
    MIN_REQUESTS,
    BatchCost,
    BatchSize,
    fit_cost,
)

Noise = Callable[[random.Random], float]

COSTS = {
    "many launches": BatchCost(batch_s=0.3, request_s=0.002),
    "long answers": BatchCost(batch_s=1.5, request_s=0.005),
    "two cores": BatchCost(batch_s=0.008, request_s=0.023),
}
EVEN: Noise = lambda rng: rng.uniform(0.8, 1.2)  # noqa: E731 - a table of two lines
NORMAL: Noise = lambda rng: max(0.3, rng.gauss(1.0, 0.2))  # noqa: E731
NUM_BATCHES = 20


def rate(cost: BatchCost, size: int) -> float:
    return size / cost.seconds(size)


def best_rate(cost: BatchCost) -> float:
    return max(rate(cost, size) for size in range(1, MAX_REQUESTS + 1))


def seconds_taken(
    size: BatchSize,
    cost: BatchCost,
    *,
    noise: Noise = lambda rng: 1.0,
    seed: int = 0,
    outlier: int | None = None,
    num_late: int = 0,
    num_batches: int = NUM_BATCHES,
) -> list[float]:
    """Let it learn, and say what its batches took without noise.

    The batch numbered ``outlier`` is told to have taken ten times its time, and ``num_late``
    batches are sent before the last one is done.
    """
    rng = random.Random(seed)
    sent = [size.value] * num_late
    taken = []
    for number in range(num_batches):
        sent.append(size.value)
        num_requests = sent.pop(0)
        taken.append(cost.seconds(num_requests))
        size.learn(num_requests, taken[-1] * noise(rng) * (10 if number == outlier else 1))
    return taken


@pytest.mark.parametrize("num_late", [0, 1])
@pytest.mark.parametrize("name", COSTS)
def test_it_is_nearly_as_fast_as_possible_within_20_batches(name: str, num_late: int) -> None:
    cost, size = COSTS[name], BatchSize()
    seconds_taken(size, cost, num_late=num_late)
    assert rate(cost, size.value) >= 0.9 * best_rate(cost)


@pytest.mark.parametrize("noise", [EVEN, NORMAL], ids=["even", "normal"])
@pytest.mark.parametrize("name", COSTS)
def test_noise_and_one_outlier_anywhere_change_little(name: str, noise: Noise) -> None:
    cost = COSTS[name]
    shares = []
    for seed in range(10 * NUM_BATCHES):
        size = BatchSize()
        seconds_taken(size, cost, noise=noise, seed=seed, outlier=seed % NUM_BATCHES)
        shares.append(rate(cost, size.value) / best_rate(cost))
    assert sum(share >= 0.9 for share in shares) >= 0.99 * len(shares)
    assert min(shares) > 0.8


def test_a_device_without_fixed_costs_is_not_given_long_batches() -> None:
    cost, size = COSTS["two cores"], BatchSize()
    assert max(seconds_taken(size, cost)) < 0.8
    assert size.value == MIN_REQUESTS
    noisy = [
        taken
        for seed in range(100)
        for taken in seconds_taken(BatchSize(), cost, noise=EVEN, seed=seed)
    ]
    assert sum(noisy) / len(noisy) < 1.0
    assert max(noisy) < MAX_BATCH_S


@given(
    batch_s=st.floats(0, 100),
    request_s=st.floats(0, 100),
    noise=st.sampled_from([EVEN, NORMAL]),
)
def test_sizes_keep_their_bounds(batch_s: float, request_s: float, noise: Noise) -> None:
    cost, size = BatchCost(batch_s=batch_s, request_s=request_s), BatchSize()
    largest = MIN_REQUESTS
    for number in range(40):
        assert MIN_REQUESTS <= size.value <= min(2 * largest, MAX_REQUESTS)
        largest = max(largest, size.value)
        size.learn(size.value, cost.seconds(size.value) * noise(random.Random(number)))


@given(batch_s=st.floats(0, 20), request_s=st.floats(1e-6, 1))
def test_the_rule_is_the_smallest_size_that_is_fast_enough(
    batch_s: float, request_s: float
) -> None:
    cost = BatchCost(batch_s=batch_s, request_s=request_s)
    size = cost.size()
    longest = max(size, 1) if size == MIN_REQUESTS else size - 1
    assert cost.seconds(longest) <= MAX_BATCH_S * 1.001 or size == MIN_REQUESTS
    if size < MAX_REQUESTS and cost.seconds(size + 1) <= MAX_BATCH_S:
        assert rate(cost, size) >= 0.95 * rate(cost, MAX_REQUESTS) * 0.999
    if size > MIN_REQUESTS:
        too_small = size - 2
        assert (
            rate(cost, too_small) < 0.95 * rate(cost, MAX_REQUESTS)
            or cost.seconds(too_small) < MIN_BATCH_S
        )


def test_batches_of_a_fast_device_are_worth_some_time() -> None:
    cost, size = BatchCost(batch_s=0.0, request_s=0.0005), BatchSize()
    seconds_taken(size, cost)
    assert cost.seconds(size.value) == pytest.approx(MIN_BATCH_S, rel=0.05)


def test_it_follows_a_device_that_becomes_slower_to_start() -> None:
    size = BatchSize()
    seconds_taken(size, COSTS["two cores"], num_batches=60)
    assert size.value == MIN_REQUESTS
    now = BatchCost(batch_s=3.0, request_s=0.023)
    seconds_taken(size, now, num_batches=60)
    assert rate(now, size.value) >= 0.7 * best_rate(now)


def test_a_given_size_stays() -> None:
    size = BatchSize(7)
    for _ in range(5):
        size.learn(7, 0.0001)
    assert size.value == 7


def test_batches_that_were_never_full_are_no_reason_to_ask_for_more() -> None:
    size = BatchSize()
    for _ in range(50):
        size.learn(5, 0.31)
    assert size.value == MIN_REQUESTS


def test_batches_of_one_size_make_no_line() -> None:
    assert fit_cost([(16, 0.3), (16, 0.4)]) is None


def test_a_line_is_found_among_outliers() -> None:
    cost = COSTS["many launches"]
    batches = [(size, cost.seconds(size)) for size in (16, 32, 64, 128, 256)] * 2
    found = fit_cost([*batches, (256, 30.0), (16, 5.0)])
    assert found is not None
    assert found.batch_s == pytest.approx(cost.batch_s, rel=0.05)
    assert found.request_s == pytest.approx(cost.request_s, rel=0.05)


@pytest.mark.parametrize(("name", "fixed", "waits"), [
    ("many launches", None, True), ("many launches", 64, False), ("two cores", None, False),
])  # fmt: skip
def test_only_where_batches_cost_a_fixed_time_is_it_worth_waiting(
    name: str, fixed: int | None, waits: bool
) -> None:
    size = BatchSize(fixed)
    assert not size.is_worth_waiting
    seconds_taken(size, COSTS[name])
    assert size.is_worth_waiting is waits


def test_a_given_size_that_is_not_always_filled_shows_the_fixed_time() -> None:
    size = BatchSize(64)
    for num_requests in (64, 64, 40, 64, 10):
        size.learn(num_requests, COSTS["many launches"].seconds(num_requests))
    assert size.value == 64
    assert size.is_worth_waiting
