"""The engine against the materialised model.

It is tried on every family, with any mix of paths, batches, budgets and interruptions.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import example as written_out
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny
from support.model_doubles import loaded_tiny
from support.watched_executor import assert_materialised

from search_cluster.errors import NonFiniteLogitsError, PromptTooLongError
from search_cluster.model.engine import executor as executor_module
from search_cluster.model.engine.answers import RowReading
from search_cluster.model.engine.calls import call_limits
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.prefix_trie import TrieNode
from search_cluster.model.engine.reading import read_logits
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

TASKS = {name: get_task(name) for name in ("capitals", "arithmetic")}
EXAMPLES = {name: task.load("train", None).examples[:5] for name, task in TASKS.items()}
NUM_LAYERS = 6

_models: dict[str, LoadedModel] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def load(folder: Path, family: str) -> LoadedModel:
    if family not in _models:
        tiny.save_tiny_model(folder / family, model_type=family)
        _models[family] = load_model(str(folder / family), self_test=False)
    return _models[family]


@pytest.fixture(scope="module")
def llama(folder: Path) -> LoadedModel:
    return load(folder, "llama")


def random_paths(rng: random.Random, count: int) -> list[LayerPath]:
    """Any paths: skips, repeats, blocks, re-ordered, longer than the model."""
    return [
        LayerPath(
            tuple(rng.randrange(NUM_LAYERS) for _ in range(rng.randint(1, 2 * NUM_LAYERS))),
            NUM_LAYERS,
        )
        for _ in range(count)
    ]


def assert_equal(
    loaded: LoadedModel, task: Task, pairs: Sequence[tuple[Example, LayerPath]], got: list[Outcome]
) -> None:
    for pair, outcome in zip(pairs, got, strict=True):
        assert_materialised(loaded, task, pair, outcome)


def num_prefixes(pairs: Sequence[tuple[Example, LayerPath]]) -> int:
    return len(
        {
            (example.example_id, path.layers[:end])
            for example, path in pairs
            for end in range(1, len(path) + 1)
        }
    )


def test_prompts_never_change_the_rotary_frequencies_of_others() -> None:
    task, short = TASKS["capitals"], EXAMPLES["capitals"][0]
    loaded = loaded_tiny(tiny.longrope_model(stable_tokens=200))
    long = replace(short, question="why? " * 50)
    identity = LayerPath.identity(NUM_LAYERS)
    outcomes = PathExecutor(loaded, task).evaluate([(short, identity), (long, identity)])
    assert outcomes[0] == PathExecutor(loaded, task).evaluate([(short, identity)])[0]
    assert isinstance(outcomes[0], Verdict)
    assert isinstance(outcomes[1], PromptTooLongError)
    assert "(longrope) stays the same up to 200" in str(outcomes[1])


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_verdicts_are_the_materialised_models_on_every_family(
    folder: Path, family: str, task_name: str
) -> None:
    loaded, task = load(folder, family), TASKS[task_name]
    rng = random.Random(family)
    pairs = [(rng.choice(EXAMPLES[task_name]), path) for path in random_paths(rng, 20)]
    pairs += [(example, LayerPath.identity(NUM_LAYERS)) for example in EXAMPLES[task_name]]
    executor = PathExecutor(loaded, task)
    assert_equal(loaded, task, pairs, executor.evaluate(pairs))
    assert executor.counters.layer_runs == num_prefixes(pairs)


@pytest.mark.slow
@written_out(  # 5,4,2-3 writes 16 tokens, of which one leads by 4.8e-7 nats
    seed=2**32, task_name="arithmetic", sizes=[18, 1, 24, 18], state_bytes=1, call_rows=1
)
@given(
    seed=st.integers(0, 2**32),
    task_name=st.sampled_from(sorted(TASKS)),
    sizes=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    state_bytes=st.sampled_from([1, 20_000, 400_000, 2**30]),
    call_rows=st.sampled_from([1, 70, 2048]),
)
@settings(max_examples=30, deadline=None)
def test_batches_budgets_and_call_sizes_change_no_verdict(
    llama: LoadedModel,
    seed: int,
    task_name: str,
    sizes: list[int],
    state_bytes: int,
    call_rows: int,
) -> None:
    rng, task = random.Random(seed), TASKS[task_name]
    executor = PathExecutor(llama, task, max_state_bytes=state_bytes, max_call_rows=call_rows)
    shared = random_paths(rng, 4)
    for size in sizes:
        pairs = [
            (rng.choice(EXAMPLES[task_name]), rng.choice([*shared, *random_paths(rng, 2)]))
            for _ in range(size)
        ]
        assert_equal(llama, task, pairs, executor.evaluate(pairs))


@pytest.mark.parametrize("task_name", TASKS)
def test_states_survive_between_calls(llama: LoadedModel, task_name: str) -> None:
    task, examples = TASKS[task_name], EXAMPLES[task_name]
    paths = random_paths(random.Random(0), 6)
    pairs = [(example, path) for path in paths for example in examples]
    executor = PathExecutor(llama, task)
    for pair in pairs:
        executor.evaluate([pair])
    assert executor.counters.layer_runs == num_prefixes(pairs)
    runs, tokens = executor.counters.layer_runs, executor.counters.layer_tokens
    assert_equal(llama, task, pairs, executor.evaluate(pairs))
    assert executor.counters.layer_runs == runs
    # A generated answer may try drafts that other paths have left since.
    if task_name == "capitals":
        assert executor.counters.layer_tokens == tokens


def test_a_small_budget_is_kept_between_calls(llama: LoadedModel) -> None:
    task = TASKS["capitals"]
    executor = PathExecutor(llama, task, max_state_bytes=50_000)
    for path in random_paths(random.Random(1), 10):
        executor.evaluate([(EXAMPLES["capitals"][0], path)])
        assert executor.store.num_bytes <= 50_000
    assert executor.store.num_evictions > 0


@pytest.mark.parametrize("task_name", TASKS)
def test_jobs_that_join_in_parts_run_no_prefix_twice(llama: LoadedModel, task_name: str) -> None:
    task = TASKS[task_name]
    whole = LayerPath((0, 1, 2, 3, 4, 5, 5, 4), NUM_LAYERS)
    # Each is the beginning of the next one.
    paths = [LayerPath(whole.layers[:end], NUM_LAYERS) for end in range(1, 9)]
    pairs = [(example, path) for path in paths for example in EXAMPLES[task_name]]
    executor = PathExecutor(llama, task, max_call_rows=8)
    assert_equal(llama, task, pairs, executor.evaluate(pairs))
    assert executor.counters.layer_runs == num_prefixes(pairs)


def test_known_answers_are_drafted_not_decoded(llama: LoadedModel) -> None:
    task, example = TASKS["arithmetic"], EXAMPLES["arithmetic"][0]
    identity, other = LayerPath.identity(NUM_LAYERS), LayerPath((0, 1, 2, 3, 4, 4), NUM_LAYERS)
    executor = PathExecutor(llama, task, tie_threshold=0.0)
    executor.evaluate([(example, identity)])
    first_calls = executor.counters.layer_calls
    fresh = PathExecutor(llama, task, tie_threshold=0.0)
    fresh.evaluate([(example, identity)])
    executor.evaluate([(example, identity)])
    assert executor.counters.layer_calls == first_calls == fresh.counters.layer_calls
    executor.evaluate([(example, other)])
    assert executor.counters.layer_runs == NUM_LAYERS + 1


@pytest.mark.parametrize("task_name", TASKS)
def test_ties_are_decided_by_the_materialised_model(llama: LoadedModel, task_name: str) -> None:
    task = TASKS[task_name]
    pairs = [
        (example, path)
        for example in EXAMPLES[task_name]
        for path in random_paths(random.Random(2), 3)
    ]
    executor = PathExecutor(llama, task, tie_threshold=1e9)
    outcomes = executor.evaluate(pairs)
    assert executor.num_tie_rechecks == len(pairs)
    assert outcomes == [evaluate_path(llama, task, *pair) for pair in pairs]


@pytest.mark.parametrize("first_wrong", [0, 2])
def test_a_tie_that_batched_arithmetic_decides_wrongly_is_put_right(
    llama: LoadedModel, first_wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, example = TASKS["arithmetic"], EXAMPLES["arithmetic"][0]
    num_read = 0

    def wrong(logits: torch.Tensor, asked: Sequence[Sequence[int]]) -> list[RowReading]:
        nonlocal num_read
        readings = read_logits(logits, asked)
        for place, reading in enumerate(readings):
            if num_read == first_wrong:
                readings[place] = replace(reading, best_token=reading.best_token ^ 1, gap=0.0)
            num_read += 1
        return readings

    monkeypatch.setattr(executor_module, "read_logits", wrong)
    executor = PathExecutor(llama, task, tie_threshold=5e-4)
    pairs = [(example, LayerPath.identity(NUM_LAYERS))]
    assert_equal(llama, task, pairs, executor.evaluate(pairs))
    assert executor.num_tie_rechecks == 1


def test_an_example_without_room_fails_alone(llama: LoadedModel) -> None:
    task, good = TASKS["capitals"], EXAMPLES["capitals"][0]
    too_long = replace(good, question="why? " * 5000)
    identity = LayerPath.identity(NUM_LAYERS)
    outcomes = PathExecutor(llama, task).evaluate(
        [(good, identity), (too_long, identity), (good, identity)]
    )
    assert isinstance(outcomes[1], PromptTooLongError)
    assert isinstance(outcomes[0], Verdict)
    assert outcomes[0] == outcomes[2]


@pytest.mark.parametrize("task_name", TASKS)
def test_nan_weights_are_a_failure_of_the_paths_that_use_them(folder: Path, task_name: str) -> None:
    tiny.save_tiny_model(folder / f"nan-{task_name}")
    loaded, task = load_model(str(folder / f"nan-{task_name}"), self_test=False), TASKS[task_name]
    with torch.no_grad():
        loaded.model.model.layers[3].mlp.down_proj.weight.fill_(float("nan"))
    example = EXAMPLES[task_name][0]
    broken, fine = LayerPath.identity(NUM_LAYERS), LayerPath((0, 1, 2, 4, 5), NUM_LAYERS)
    outcomes = PathExecutor(loaded, task).evaluate([(example, broken), (example, fine)])
    assert isinstance(outcomes[0], NonFiniteLogitsError)
    assert isinstance(outcomes[1], Verdict)


@pytest.mark.parametrize("task_name", TASKS)
def test_out_of_memory_halves_the_batch_and_goes_on(
    llama: LoadedModel, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_limits, "RECOVERY_CALLS", 10**6)
    task = TASKS[task_name]
    pairs = [
        (example, path)
        for example in EXAMPLES[task_name]
        for path in random_paths(random.Random(3), 4)
    ]
    executor = PathExecutor(llama, task)
    run, too_many = executor._layers.run, 130

    def limited(layer: int, hidden: torch.Tensor, *arguments: object) -> torch.Tensor:
        if len(hidden) > too_many:
            raise torch.OutOfMemoryError("scripted")
        return run(layer, hidden, *arguments)

    monkeypatch.setattr(executor._layers, "run", limited)
    assert_equal(llama, task, pairs, executor.evaluate(pairs))
    assert executor._scheduler.max_call_rows <= too_many


@pytest.mark.parametrize("task_name", TASKS)
def test_out_of_memory_evicts_no_state_that_its_halves_need(
    llama: LoadedModel, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, examples = TASKS[task_name], EXAMPLES[task_name]
    executor = PathExecutor(llama, task)
    # Their prefixes are held from now on.
    executor.evaluate([(example, LayerPath.identity(NUM_LAYERS)) for example in examples])
    later = [LayerPath((0, 1, 2, layer, 5), NUM_LAYERS) for layer in (2, 3, 4)]
    pairs = [(example, path) for example in examples for path in later]
    run, num_calls = executor._layers.run, 0

    def limited(*arguments: object) -> torch.Tensor:
        nonlocal num_calls
        num_calls += 1
        if num_calls % 3 == 1 and len(runs[-1]) > 1:
            executor.store.max_bytes = 1  # all that is not pinned goes
            raise torch.OutOfMemoryError("scripted")
        return run(*arguments)

    runs: list[list[TrieNode]] = []
    split = executor._scheduler._run_or_split

    def watched(layer: int, nodes: list[TrieNode], *arguments: object) -> None:
        runs.append(nodes)
        split(layer, nodes, *arguments)

    monkeypatch.setattr(executor._layers, "run", limited)
    monkeypatch.setattr(executor._scheduler, "_run_or_split", watched)
    assert_equal(llama, task, pairs, executor.evaluate(pairs))
    assert any(len(nodes) > 1 and nodes[: len(nodes) // 2] in runs for nodes in runs), (
        "no call was split"
    )
    assert executor.store.num_evictions > 0


@pytest.mark.parametrize("task_name", TASKS)
def test_an_interrupted_batch_leaves_a_usable_engine(
    llama: LoadedModel, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TASKS[task_name]
    pairs = [
        (example, path)
        for example in EXAMPLES[task_name]
        for path in random_paths(random.Random(4), 4)
    ]
    executor = PathExecutor(llama, task)
    run, left = executor._layers.run, [7]

    def interrupted(*arguments: object) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return run(*arguments)

    monkeypatch.setattr(executor._layers, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.evaluate(pairs)
    assert_equal(llama, task, pairs, executor.evaluate(pairs))


def test_a_prompt_of_one_token(llama: LoadedModel) -> None:
    task = replace(TASKS["capitals"], chat="{question}", plain="{question}")
    example = replace(EXAMPLES["capitals"][0], question="x")
    pairs = [(example, path) for path in random_paths(random.Random(5), 5)]
    assert_equal(llama, task, pairs, PathExecutor(llama, task).evaluate(pairs))
