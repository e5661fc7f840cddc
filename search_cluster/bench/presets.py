"""``search-cluster bench search``: what a budget buys with each preset, and how much of it is luck.

Every preset searches the same questions with the same budgets. Then its best paths are judged on
evidence that no search has seen: fresh perturbations of the question, and fresh other questions
from other splits. A best path *holds* if it is right on the perturbations as often as identity
(within `PERTURBATION_SLACK`) and on the other questions as well (within `PROBE_SLACK`). Published
presets run to the end of their budget, which buys them more layers, by luck and otherwise: their
own stop rules end at the first improvement. `credible` ends there, as it has no lucky ones to
compare.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from search_cluster.bench.config import SearchBenchConfig
from search_cluster.bench.core_speed import core_ops_per_s
from search_cluster.bench.fresh_judge import FreshJudge, fresh_questions
from search_cluster.bench.preset_figures import figures_of
from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import EMBEDDED, NONE, open_store
from search_cluster.driver.pools import verdict_context
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.questions import Questions
from search_cluster.search.search_plan import preset_for_task
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.registry import absolute_spec, get_task
from search_cluster.tasks.selection import derive_seed, select_examples
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import StopRule
from search_cluster.workers.local_pool import LocalPool
from search_cluster.workers.messages import WorkerSpec

REQUESTS_PER_BATCH = 128
FOUND_NONE = "; its study of other questions found no path to try"


def bench_search(config: SearchBenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark that the module describes.

    Args:
        config: the settings.
        say: takes a line for people now and then.

    Raises:
        SearchClusterError: no such model, task, preset or data.
    """
    presets = [get_preset(name) for name in config.presets]
    task = get_task(config.task)
    data_dir = resolve_data_dir(config.data_dir)
    pool_examples = task.load("train", data_dir).examples
    examples = select_examples(pool_examples, config.num_examples, config.seed)
    fact_of = facts_of(pool_examples)
    questions = Questions(task, pool_examples, examples, seed=config.seed)
    probes = fresh_questions(
        task,
        data_dir,
        without=pool_examples,
        count=config.num_probes,
        seed=derive_seed(config.seed, "fresh probes"),
    )
    spec = WorkerSpec(
        model=config.model,
        dtype=config.dtype,
        device=config.device,
        revision=None,
        trust_remote_code=False,
        chat="auto",
        task=absolute_spec(config.task),
        num_threads=1,
        state_bytes=config.state_bytes,
    )
    with ExitStack() as stack:
        pool = stack.enter_context(
            closing(
                LocalPool(spec, num_workers=config.workers, requests_per_batch=REQUESTS_PER_BATCH)
            )
        )
        store = stack.enter_context(
            open_store(
                NONE if config.run is None else EMBEDDED,
                context=verdict_context(task, pool.info),
                run_dir=config.run or Path(),
            )
        )
        evaluator = stack.enter_context(closing(CachedEvaluator(pool, store)))
        judge = FreshJudge(
            evaluator,
            questions,
            probes,
            num_layers=pool.info.num_layers,
            num_fresh=config.num_fresh,
        )
        results: dict[str, dict[str, Any]] = {}
        for preset in presets:
            core = core_ops_per_s(preset)
            results[preset.name] = {}
            for budget in config.budgets:
                started_s = time.perf_counter()
                searching = replace(
                    preset_for_task(preset, task), budget=budget, stop_rule=StopRule.BUDGET
                )
                coordinator = Coordinator(
                    evaluator,
                    examples,
                    num_layers=pool.info.num_layers,
                    preset=searching,
                    seed=config.seed,
                    probes=questions.probes(preset.study.max_probes)
                    if preset.study is not None
                    else (),
                    perturb=questions.perturb,
                )
                records = sorted(
                    (record for record in coordinator.run() if record is not None),
                    key=lambda record: record.example.example_id,
                )
                cell = figures_of(records, judge, pool.info.num_layers, fact_of)
                cell["evaluations_per_example"] = coordinator.progress().num_paths_searched / len(
                    examples
                )
                cell["menu"] = [str(item.path) for item in coordinator.menu]
                cell["core_ops_per_s"] = core
                results[preset.name][str(budget)] = cell
                found_none = preset.study is not None and not coordinator.menu
                say(
                    f"{preset.name} {budget}: verified saved "
                    f"{_shown(cell['verified_saved_layers'], 2)} of "
                    f"{_shown(cell['saved_layers'], 2)}, verified fixed "
                    f"{_shown(cell['verified_fixed'], 3)} of {_shown(cell['fixed'], 3)}, holds "
                    f"{_shown(cell['holds'], 3)} of {cell['num_changed']} paths, "
                    f"{time.perf_counter() - started_s:.0f} s{FOUND_NONE if found_none else ''}"
                )
        identity_right = sum(judge.is_right(example, judge.identity) for example in examples)
        return {
            "model": config.model,
            "task": task.name,
            "num_layers": pool.info.num_layers,
            "num_examples": len(examples),
            "num_facts": len({fact_of[example.example_id] for example in examples}),
            "identity_right": identity_right,
            "num_fresh_perturbations": float(
                np.mean([len(judge.fresh(example)) for example in examples])
            ),
            "num_fresh_probes": len(probes),
            "probe_accuracy_identity": judge.probe_accuracy(judge.identity),
            "seed": config.seed,
            "core_ops_per_s": min(core for cells in results.values() for core in _cores(cells)),
            "paths_evaluated": evaluator.stats().num_evaluated,
            "results": results,
        }


def _shown(value: float | None, digits: int) -> str:
    """A figure; of no question there is none."""
    return "none" if value is None else f"{value:.{digits}f}"


def _cores(cells: Mapping[str, Mapping[str, Any]]) -> Iterable[float]:
    return (cell["core_ops_per_s"] for cell in cells.values())
