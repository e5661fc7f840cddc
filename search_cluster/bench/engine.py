"""``search-cluster bench engine``: the engine against what published code does, in one run.

The work: every one of ``num_examples`` questions on every one of ``num_paths`` paths that a real
search proposed. The two published ways are slow, so they are timed on a seeded sample of that work;
the engine does all of it. Whether speed costs truth is counted: `bench.agreement`.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from search_cluster.bench.agreement import Pair, compare_verdicts
from search_cluster.bench.baselines import answer_one, answer_together
from search_cluster.bench.config import EngineBenchConfig
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.flops import FlopRates, product_flops_per_s
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import keep_freed_memory
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.search.example_search import ExampleSearch
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import StopRule
from search_cluster.workers.batch_size import BATCHES_PER_WORKER

ROUNDS = 3


def bench_engine(config: EngineBenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark that the module describes.

    Args:
        config: the settings.
        say: takes a line for people now and then.

    Raises:
        SearchClusterError: no such model, task or data.
    """
    keep_freed_memory()  # as workers do
    task = get_task(config.task)
    loaded = load_model(config.model, device=config.device, dtype=config.dtype)
    data = task.load("test", resolve_data_dir(config.data_dir))
    examples = select_examples(data.examples, config.num_examples, config.seed)
    say(f"searching {config.num_paths} paths")
    paths = searched_paths(loaded, task, examples[0], config)
    pairs = [(example, path) for example in examples for path in paths]
    rng = random.Random(config.seed)
    rng.shuffle(pairs)
    say(f"engine: {len(pairs)} pairs, {ROUNDS} rounds")
    engines = [_timed_engine(loaded, task, pairs, config) for _ in range(ROUNDS)]
    engine, engine_s = sorted(engines, key=lambda item: item[1])[ROUNDS // 2]
    product = product_flops_per_s(loaded.model)
    sample = rng.sample(pairs, min(config.sample, len(pairs)))
    say(f"one by one: {len(sample)} pairs")
    one_rates = _rates(len(sample), lambda: [answer_one(loaded, task, *pair) for pair in sample])
    whole_paths = rng.sample(paths, max(1, min(len(paths), round(config.sample / len(examples)))))
    say(f"same path batched: {len(whole_paths)} paths")
    same_path_rates = _rates(
        len(whole_paths) * len(examples),
        lambda: [answer_together(loaded, task, examples, p) for p in whole_paths],
    )
    say(f"verdicts: {config.num_verdicts} in company, each pair alone and on the model itself")
    agreement = compare_verdicts(loaded, task, pairs, config, rng)
    counters = engine.counters
    flops = FlopRates.of(loaded.model).flops(counters)
    engine_rate = len(pairs) / engine_s
    one_by_one, same_path = statistics.median(one_rates), statistics.median(same_path_rates)
    engine_rates = [len(pairs) / seconds for _, seconds in engines]
    return {
        "model": config.model,
        "task": task.name,
        "dtype": loaded.dtype,
        "num_examples": len(examples),
        "num_paths": len(paths),
        "pairs": len(pairs),
        "one_by_one": one_by_one,
        "same_path_batched": same_path,
        "engine": engine_rate,
        "engine_rounds": engine_rates,
        "one_by_one_rounds": one_rates,
        "same_path_rounds": same_path_rates,
        **_ratio("ratio_one_by_one", engine_rates, one_rates),
        **_ratio("ratio_same_path", engine_rates, same_path_rates),
        "layer_runs": counters.layer_runs,
        "layer_runs_per_prefix": counters.layer_runs / _num_prefixes(pairs),
        "shared_layer_runs": counters.shared_layer_runs,
        "plain_layer_runs": sum(len(path) for _, path in pairs),
        "layer_calls": counters.layer_calls,
        "tokens": counters.layer_tokens,
        "head_rows": counters.head_rows,
        "is_invariant": engine.arithmetic.is_invariant,
        **asdict(agreement),
        "tie_threshold": engine.tie_threshold,
        "gemm_efficiency": flops / engine_s / product,
        "product_gflops_per_s": product / 1e9,
        "peak_state_bytes": engine.store.peak_bytes,
        "evictions": engine.store.num_evictions,
    }


def searched_paths(
    loaded: LoadedModel, task: Task, example: Example, config: EngineBenchConfig
) -> list[LayerPath]:
    """The paths of one real search, in the order of proposal, identity first."""
    preset = replace(get_preset("drllm"), stop_rule=StopRule.BUDGET, budget=config.num_paths)
    search = ExampleSearch(example, num_layers=loaded.num_layers, preset=preset, seed=config.seed)
    executor = PathExecutor(loaded, task)
    paths: list[LayerPath] = []
    while proposed := search.propose():
        paths += proposed
        outcomes = executor.evaluate([(example, path) for path in proposed])
        search.observe(
            [
                outcome
                if isinstance(outcome, Verdict)
                else Failure(kind=type(outcome).__name__, message=str(outcome))
                for outcome in outcomes
            ]
        )
    return paths


def _timed_engine(
    loaded: LoadedModel, task: Task, pairs: Sequence[Pair], config: EngineBenchConfig
) -> tuple[PathExecutor, float]:
    """Send all pairs through a new engine, ordered by example.

    As in a worker, the next batch joins while the last answers of the one before are awaited.
    """
    gc.collect()  # the states of the round before, whose nodes refer to each other
    executor = PathExecutor(loaded, task, max_state_bytes=config.state_bytes)
    ordered = sorted(pairs, key=lambda pair: pair[0].example_id)
    started_s = time.perf_counter()
    first, num_in_flight = 0, 0
    while first < len(ordered) or num_in_flight:
        while first < len(ordered) and num_in_flight <= (BATCHES_PER_WORKER - 1) * config.batch:
            num_in_flight += len(executor.submit(ordered[first : first + config.batch]))
            first += config.batch
        num_in_flight -= len(executor.step())
    return executor, time.perf_counter() - started_s


def _ratio(name: str, rates: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """The quotient of two medians, and what it is at least and at most over all rounds."""
    return {
        name: statistics.median(rates) / statistics.median(others),
        f"{name}_min": min(rates) / max(others),
        f"{name}_max": max(rates) / min(others),
    }


def _rates(count: int, action: Callable[[], object]) -> list[float]:
    """Pairs per second of each of three rounds, or of one if it takes 20 s."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < ROUNDS and seconds[0] < 20):
        started_s = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started_s)
    return [count / took_s for took_s in seconds]


def _num_prefixes(pairs: Sequence[Pair]) -> int:
    return len(
        {
            (example.example_id, path.layers[:end])
            for example, path in pairs
            for end in range(1, len(path) + 1)
        }
    )
