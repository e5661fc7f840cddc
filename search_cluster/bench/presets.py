"""``search-cluster bench search``: what a budget buys with each preset, and how much of it is luck.

Every preset searches the same questions with the same budgets. Then its best paths are judged on evidence that no
search has seen: fresh perturbations of the question, and fresh other questions from another split. A best path *holds*
if it is right on the perturbations as often as identity (within `PERTURBATION_SLACK`) and on the other questions as
well (within `PROBE_SLACK`). Published presets run to the end of their budget, which buys them more layers, by luck and
otherwise: their own stop rules end at the first improvement. `credible` ends there, as it has no lucky ones to compare.
"""

import gc
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import EMBEDDED, NONE, open_store
from search_cluster.corpus.record import ExampleRecord
from search_cluster.driver.pools import verdict_context
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.questions import Questions
from search_cluster.search.rounds import Trial
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.registry import absolute_spec, get_task
from search_cluster.tasks.selection import derive_seed, select_examples
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import SearchPreset, StopRule
from search_cluster.workers.local_pool import LocalPool
from search_cluster.workers.messages import WorkerSpec

PERTURBATION_SLACK = 0.10
"""How much rarer than identity, as a share of the fresh perturbations, a path that holds may be right on them."""
PROBE_SLACK = 0.05
"""The same of the fresh other questions."""
CORE_EXAMPLES = 100
"""Trees on which the core's speed is measured."""
CORE_LAYERS = 30
REQUESTS_PER_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBenchConfig:
    """What to measure."""

    model: str
    task: str
    data_dir: Path | None
    num_examples: int
    budgets: tuple[int, ...]
    presets: tuple[str, ...]
    num_fresh: int
    """Fresh perturbations per question, at most."""
    num_probes: int
    """Fresh other questions."""
    workers: int
    state_bytes: int
    seed: int
    device: str
    dtype: str
    run: Path | None = None
    """Folder that keeps the verdicts, so that an interrupted comparison goes on; ``None``: nothing is kept."""


def bench_search(config: SearchBenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure; see the module.

    Args:
        config: what to measure.
        say: takes a line for people now and then.

    Raises:
        SearchClusterError: no such model, task, preset or data.
    """
    presets = [get_preset(name) for name in config.presets]
    task = get_task(config.task)
    data_dir = resolve_data_dir(config.data_dir)
    pool_examples = task.load("train", data_dir).examples
    examples = select_examples(pool_examples, config.num_examples, config.seed)
    questions = Questions(task, pool_examples, examples, seed=config.seed)
    fresh_pool = task.load("test", data_dir).examples
    probes = select_examples(fresh_pool, config.num_probes, derive_seed(config.seed, "fresh probes"))
    spec = WorkerSpec(
        model=config.model,
        dtype=config.dtype,
        device=config.device,
        revision=None,
        trust_remote_code=False,
        task=absolute_spec(config.task),
        num_threads=1,
        state_bytes=config.state_bytes,
    )
    with ExitStack() as stack:
        pool = stack.enter_context(
            closing(LocalPool(spec, num_workers=config.workers, requests_per_batch=REQUESTS_PER_BATCH))
        )
        store = stack.enter_context(
            open_store(
                NONE if config.run is None else EMBEDDED,
                context=verdict_context(task, pool.info),
                run_dir=config.run or Path(),
            )
        )
        evaluator = stack.enter_context(closing(CachedEvaluator(pool, store)))
        judge = _Judge(evaluator, questions, probes, num_layers=pool.info.num_layers, num_fresh=config.num_fresh)
        results: dict[str, dict[str, Any]] = {}
        for preset in presets:
            core = core_ops_per_s(preset)
            results[preset.name] = {}
            for budget in config.budgets:
                started_s = time.perf_counter()
                searching = replace(preset, budget=budget, stop_rule=StopRule.BUDGET)
                coordinator = Coordinator(
                    evaluator,
                    examples,
                    num_layers=pool.info.num_layers,
                    preset=searching,
                    seed=config.seed,
                    probes=questions.probes(preset.study.max_probes) if preset.study is not None else (),
                    perturb=questions.perturb,
                )
                records = sorted(
                    (record for record in coordinator.run() if record is not None),
                    key=lambda record: record.example.example_id,
                )
                cell = _cell(records, judge, pool.info.num_layers)
                cell["evaluations_per_example"] = coordinator.progress().num_paths_searched / len(examples)
                cell["menu"] = [str(item.path) for item in coordinator.menu]
                cell["core_ops_per_s"] = core
                results[preset.name][str(budget)] = cell
                found_none = preset.study is not None and not coordinator.menu
                say(
                    f"{preset.name} {budget}: verified saved {cell['verified_saved_layers']:.2f} of "
                    f"{cell['saved_layers']:.2f}, verified fixed {cell['verified_fixed']:.3f} of {cell['fixed']:.3f}, "
                    f"holds {cell['holds']}, {time.perf_counter() - started_s:.0f} s"
                    f"{'; its study of other questions found no path to try' if found_none else ''}"
                )
        identity_right = sum(judge.is_right(example, judge.identity) for example in examples)
        return {
            "model": config.model,
            "task": task.name,
            "num_layers": pool.info.num_layers,
            "num_examples": len(examples),
            "identity_right": identity_right,
            "num_fresh_perturbations": float(np.mean([len(judge.fresh(example)) for example in examples])),
            "num_fresh_probes": len(probes),
            "probe_accuracy_identity": judge.probe_accuracy(judge.identity),
            "seed": config.seed,
            "core_ops_per_s": min(core for cells in results.values() for core in _cores(cells)),
            "paths_evaluated": evaluator.stats().num_evaluated,
            "results": results,
        }


def _cores(cells: Mapping[str, Mapping[str, Any]]) -> Iterable[float]:
    return (cell["core_ops_per_s"] for cell in cells.values())


class _Judge:
    """Says whether a path holds for a question, on evidence that no search has seen."""

    def __init__(
        self,
        evaluator: PathEvaluator,
        questions: Questions,
        probes: Sequence[Example],
        *,
        num_layers: int,
        num_fresh: int,
    ) -> None:
        self._evaluator, self._questions, self._probes = evaluator, questions, probes
        self._num_fresh = num_fresh
        self.identity = LayerPath.identity(num_layers)
        self._rewards: dict[tuple[str, LayerPath], bool] = {}
        self._next_id = -1

    def is_right(self, example: Example, path: LayerPath) -> bool:
        """Whether the path answers the question; asked before, or evaluated now."""
        self._evaluate([(example, path)])
        return self._rewards[example.example_id, path]

    def fresh(self, example: Example) -> tuple[Example, ...]:
        """Perturbations of a question that no search has seen; fewer than asked for where the task has no more."""
        return self._questions.perturb(example, EvidenceRole.FRESH, self._num_fresh)

    def holds(self, items: Sequence[Trial]) -> list[bool]:
        """Per (question, path) whether the path holds; probes are spent only on those that pass the perturbations."""
        fresh = {example.example_id: self.fresh(example) for example, _ in items}
        self._evaluate(
            [
                (perturbed, candidate)
                for example, path in items
                for perturbed in fresh[example.example_id]
                for candidate in (path, self.identity)
            ]
        )
        stable = [
            self._num_right(fresh[example.example_id], path)
            >= self._num_right(fresh[example.example_id], self.identity)
            - PERTURBATION_SLACK * len(fresh[example.example_id])
            for example, path in items
        ]
        paths = {path for (_, path), passed in zip(items, stable, strict=True) if passed}
        ordered = sorted(paths, key=lambda path: path.layers)
        self._evaluate([(probe, path) for path in [self.identity, *ordered] for probe in self._probes])
        return [
            passed and self.probe_accuracy(path) >= self.probe_accuracy(self.identity) - PROBE_SLACK
            for (_, path), passed in zip(items, stable, strict=True)
        ]

    def probe_accuracy(self, path: LayerPath) -> float:
        """Share of the fresh other questions on which an evaluated path is right."""
        return self._num_right(self._probes, path) / len(self._probes)

    def _num_right(self, examples: Sequence[Example], path: LayerPath) -> int:
        return sum(self._rewards[example.example_id, path] for example in examples)

    def _evaluate(self, trials: Sequence[Trial]) -> None:
        """Know the verdicts of all trials; a failure counts as wrong. An example's trials go together."""
        unknown = {
            (example.example_id, path): (example, path)
            for example, path in trials
            if (example.example_id, path) not in self._rewards
        }
        by_example: dict[str, list[Trial]] = defaultdict(list)
        for (example_id, _), trial in unknown.items():
            by_example[example_id].append(trial)
        waiting: dict[int, tuple[str, LayerPath]] = {}
        for group in by_example.values():
            requests = []
            for example, path in group:
                requests.append(EvaluationRequest(request_id=self._next_id, example=example, path=path))
                waiting[self._next_id] = (example.example_id, path)
                self._next_id -= 1
            self._evaluator.submit(requests)
        while waiting:
            for result in self._evaluator.collect():
                outcome = result.outcome
                self._rewards[waiting.pop(result.request_id)] = isinstance(outcome, Verdict) and outcome.is_correct


def _cell(records: Sequence[ExampleRecord], judge: _Judge, num_layers: int) -> dict[str, Any]:
    """The figures of one preset and budget."""
    found = [(record, record.best[0].path) for record in records if record.best]
    changed = [(record, path) for record, path in found if not path.is_identity]
    holds = dict(
        zip(
            [record.example.example_id for record, _ in changed],
            judge.holds([(record.example, path) for record, path in changed]),
            strict=True,
        )
    )
    saved, verified_saved, fixed, verified_fixed = [], [], [], []
    best = {record.example.example_id: path for record, path in found}
    for record in records:
        path, held = best.get(record.example.example_id), holds.get(record.example.example_id, False)
        if record.identity is not None and record.identity.is_correct:
            num_saved = num_layers - len(path) if path is not None else 0
            saved.append(num_saved)
            verified_saved.append(num_saved * held)
        else:
            fixed.append(int(path is not None))
            verified_fixed.append(int(held))
    return {
        **_mean("verified_saved_layers", verified_saved),
        **_mean("verified_fixed", verified_fixed),
        **_mean("saved_layers", saved),
        **_mean("fixed", fixed),
        "holds": sum(holds.values()) / len(holds) if holds else None,
        "num_changed": len(changed),
        "num_identity_right": len(saved),
        "num_identity_wrong": len(fixed),
    }


def _mean(name: str, values: Sequence[float]) -> dict[str, float]:
    """Mean with the bounds of its 95 % bootstrap interval over questions (percentile, 2,000 resamples)."""
    if not values:
        return {name: 0.0, f"{name}_low": 0.0, f"{name}_high": 0.0}
    mean = float(np.mean(values))
    if len(set(values)) == 1:
        return {name: mean, f"{name}_low": mean, f"{name}_high": mean}
    interval = bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return {name: mean, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def core_ops_per_s(preset: SearchPreset) -> float:
    """Proposals + observations per second of CPU time of one core, through coordinator and scripted evaluator."""

    def questions(text: str, count: int) -> list[Example]:
        return [
            Example(task="core", question=f"{text} {number}", gold="g", split="train", source="bench")
            for number in range(count)
        ]

    examples = questions("example", CORE_EXAMPLES)
    rng = random.Random(0)
    rewards = [float(rng.random() < 0.5) for _ in range(4096)]
    evaluator = ScriptedEvaluator(lambda example, path: rewards[hash(path.layers) % len(rewards)])
    searching = replace(preset, stop_rule=StopRule.BUDGET)
    coordinator = Coordinator(
        evaluator,
        examples,
        num_layers=CORE_LAYERS,
        preset=searching,
        seed=0,
        probes=questions("probe", CORE_EXAMPLES),
        perturb=lambda example, role, count: questions(f"{example.question} {role}", count),
    )
    gc.collect()
    gc.freeze()  # else one collection that walks all of torch takes longer than the search
    started_s = time.process_time()
    for _ in coordinator.run():
        pass
    took_s = time.process_time() - started_s
    gc.unfreeze()
    return 2 * coordinator.progress().num_paths_searched / took_s
