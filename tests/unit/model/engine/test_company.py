"""A row's logits are the same to the bit in any company: alone, in batches, in any order.

Every tiny family is tried in the dtypes that its users run, with calls of all sizes, and with
stores so small that states are evicted and computed again.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from support import tiny
from support.model_doubles import loaded_tiny
from support.watched_executor import Logits, Request, WatchedExecutor, outcome_alone

from search_cluster.model.engine.executor import Outcome
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}
"""One of choices and one that generates."""
EXAMPLES = {name: task.load("train", None).examples[:3] for name, task in TASKS.items()}
QUICK = ("llama", "gemma2", "mistral", "qwen2_moe")
"""Families of unlike anatomy; the others are for all rings of tests."""
CASES = [
    pytest.param(family, dtype, marks=[] if family in QUICK else [pytest.mark.slow])
    for family in tiny.FAMILIES
    for dtype in (torch.float32, torch.bfloat16)
]
CASES.append(pytest.param("llama", torch.float16))

_models: dict[tuple[str, torch.dtype], LoadedModel] = {}
_alone: dict[tuple[str, torch.dtype, Request], tuple[Outcome, Logits]] = {}


def load(family: str, dtype: torch.dtype) -> LoadedModel:
    if (family, dtype) not in _models:
        loaded = loaded_tiny(tiny.tiny_model(family).to(dtype))
        _models[family, dtype] = replace(loaded, dtype=str(dtype).removeprefix("torch."))
    return _models[family, dtype]


def alone(family: str, dtype: torch.dtype, task: str, request: Request) -> tuple[Outcome, Logits]:
    """What an engine says that has seen nothing else."""
    key = (family, dtype, request)
    if key not in _alone:
        _alone[key] = outcome_alone(load(family, dtype), TASKS[task], request)
    return _alone[key]


def some_paths(rng: random.Random, count: int) -> list[LayerPath]:
    """Paths with common beginnings: skips, repeats, re-ordered, some inside others."""
    stems = [tuple(rng.randrange(6) for _ in range(4)) for _ in range(2)]
    return [
        LayerPath(
            rng.choice(stems)[: rng.randint(1, 4)]
            + tuple(rng.randrange(6) for _ in range(rng.randint(0, 3))),
            6,
        )
        for _ in range(count)
    ]


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def as_they_come(
    executor: WatchedExecutor, requests: Sequence[Request], rng: random.Random
) -> list[Outcome]:
    """The outcomes of requests some of which join while others run."""
    tickets: list[int] = []
    outcomes: dict[int, Outcome] = {}
    while len(outcomes) < len(requests):
        if executor.is_idle or rng.random() < 0.3:
            first = len(tickets)
            tickets += executor.submit(requests[first : first + rng.randint(1, 5)])
        outcomes |= executor.step()
    assert executor.is_idle
    return [outcomes[ticket] for ticket in tickets]


def assert_as_alone(
    family: str,
    dtype: torch.dtype,
    task: str,
    executor: WatchedExecutor,
    batch: Sequence[Request],
    rng: random.Random,
) -> None:
    executor.logits.clear()
    outcomes = as_they_come(executor, batch, rng)
    for request, outcome in zip(batch, outcomes, strict=True):
        expected, logits = alone(family, dtype, task, request)
        assert outcome == expected
        # Of drafts other rows may be read in company.
        both = logits.keys() & executor.logits.keys()
        assert len(both) == len(logits) if task == "capitals" else both
        for key in both:
            assert logits[key].dtype is torch.float32
            assert torch.equal(executor.logits[key], logits[key]), f"{request[1]} {key}"
    assert executor.num_tie_rechecks == 0


def some_requests(family: str, task: str) -> list[Request]:
    rng = random.Random(family)
    return [(example, path) for example in EXAMPLES[task] for path in some_paths(rng, 3)]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("family", "dtype"), CASES)
def test_logits_are_the_same_to_the_bit_in_any_company(
    family: str, dtype: torch.dtype, task: str
) -> None:
    requests = some_requests(family, task)

    @seed(zlib.crc32(f"{family} {dtype} {task}".encode()))
    @given(
        rng=st.randoms(use_true_random=False),
        sizes=st.lists(st.integers(3, 9), min_size=1, max_size=2),
        state_bytes=st.sampled_from([1, 20_000, 2**30]),
        call_rows=st.sampled_from([1, 8, 70, 2048]),
    )
    @settings(max_examples=3 if task == "capitals" else 2, phases=[Phase.generate], database=None)
    def check(rng: random.Random, sizes: list[int], state_bytes: int, call_rows: int) -> None:
        executor = WatchedExecutor(
            load(family, dtype), TASKS[task], max_state_bytes=state_bytes, max_call_rows=call_rows
        )
        for size in sizes:
            batch = [rng.choice(requests) for _ in range(size)]
            assert_as_alone(family, dtype, task, executor, batch, rng)

    check()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_of_threads_changes_no_bit(dtype: torch.dtype, task: str) -> None:
    requests = some_requests("llama", task)[:6]
    with threads(1):
        for request in requests:
            alone("llama", dtype, task, request)
    with threads(2):
        executor = WatchedExecutor(load("llama", dtype), TASKS[task], max_call_rows=200)
        assert_as_alone("llama", dtype, task, executor, requests, random.Random(0))
