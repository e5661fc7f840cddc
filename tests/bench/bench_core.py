"""How fast the search core is without a model, for every preset.

Measured are proposals + observations per second and core.
Compared in one run: the bare proposer, and the coordinator over the scripted evaluator; memory per
tree of 50 and of 200 paths. A preset that makes a study has no tree of its own: instead of the bare
proposer's figures there is the memory of its study, and its perturbations are asked, too. Seconds
are this process' CPU seconds: the core is one thread that never waits, and other programs on the
machine disturb them less. Prints one JSON line. ``--profile PRESET`` prints where the coordinator's
time goes instead.
"""

import argparse
import cProfile
import json
import pstats
import random
import statistics
import time
import tracemalloc
import zlib
from dataclasses import replace

from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.study.study import MenuStudy
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.evidence import StudyPlan
from search_cluster.tree.presets.registry import PRESETS
from search_cluster.tree.proposer import Proposer
from search_cluster.tree.settings import SearchPreset, StopRule, make_proposer

NUM_LAYERS = 30
NUM_TREES = 40
ROUNDS = 5
TREE_SIZES = (50, 200)
STUDY_SIZES = (100, 1_000)


def hashed_reward(path: LayerPath) -> float:
    """Wrong identity, wrong everywhere but for a hash's whim."""
    return float(zlib.crc32(bytes(path.layers)) % 50 == 0)


def grow(preset: SearchPreset, seed: int, num_paths: int) -> tuple[Proposer, int]:
    """One proposer after ``num_paths`` answers, or fewer where its space ends, and their number."""
    proposer = make_proposer(LayerPath.identity(NUM_LAYERS), 0.0, preset, random.Random(seed))
    delivered = 0
    while paths := proposer.propose(min(preset.leaves_per_round, num_paths - delivered)):
        for path in paths:
            proposer.observe(path, hashed_reward(path))
        delivered += len(paths)
    return proposer, delivered


def proposer_ops_per_s(preset: SearchPreset) -> float:
    """Proposals + observations per second of bare proposers."""
    started_s = time.process_time()
    delivered = sum(grow(preset, seed, preset.budget)[1] for seed in range(NUM_TREES))
    return 2 * delivered / (time.process_time() - started_s)


def make_examples(text: str, count: int) -> list[Example]:
    """Questions that differ in their number."""
    return [
        Example(task="t", question=f"{text} {i}", gold="g", split="train", source="bench")
        for i in range(count)
    ]


def noisy_reward(example: Example, path: LayerPath) -> float:
    """Half of the questions are right, and of these nine in ten without a layer or more."""
    point = (
        zlib.crc32(example.question.encode())
        % 2
        * (zlib.crc32(f"{example.question} {path}".encode()) % 10)
    )
    return float((path.is_identity and point > 0) or point > 1)


def run_coordinator(preset: SearchPreset) -> int:
    """Search ``NUM_TREES`` examples to the end of the budget; the number of paths."""
    examples = make_examples("q", NUM_TREES)
    evaluator = ScriptedEvaluator(
        noisy_reward if preset.study else lambda example, path: hashed_reward(path)
    )
    coordinator = Coordinator(
        evaluator, examples, num_layers=NUM_LAYERS, preset=preset, seed=0,
        probes=make_examples("probe", 384),
        perturb=lambda example, role, count: make_examples(f"{example.question} {role}", count),
    )  # fmt: skip
    records = [record for record in coordinator.run() if record is not None]
    assert preset.study is None or sum(len(record.evidence) for record in records) >= NUM_TREES // 2
    return coordinator.progress().num_paths_searched


def coordinator_ops_per_s(preset: SearchPreset) -> float:
    """Proposals + observations per second through the coordinator, with the scripted evaluator."""
    started_s = time.process_time()
    num_paths = run_coordinator(preset)
    return 2 * num_paths / (time.process_time() - started_s)


def bytes_per_tree(preset: SearchPreset, num_paths: int) -> int:
    """Python memory of one proposer after ``num_paths`` answers, its paths included."""
    tracemalloc.start()
    kept = grow(preset, 0, num_paths)
    current_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept[1]
    return current_bytes


def bytes_of_study(preset: SearchPreset, plan: StudyPlan, num_examples: int) -> int:
    """Python memory of the study that serves so many examples, when it is done."""
    probes = make_examples("probe", plan.max_probes)
    tracemalloc.start()
    max_evaluations = num_examples * (preset.budget - preset.own_budget)
    study = MenuStudy(
        probes, num_layers=NUM_LAYERS, max_evaluations=max_evaluations, plan=plan, max_drop=0.05
    )
    while trials := study.next_round():
        rewards = [noisy_reward(example, path) for example, path in trials]
        study.observe(
            [
                Verdict(reward=reward, margin=None, output="g", num_layer_tokens=1)
                for reward in rewards
            ]
        )
    current_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert study.menu
    return current_bytes


def measure(preset: SearchPreset) -> dict[str, float]:
    """All figures of one preset; speeds are medians of ``ROUNDS``."""
    figures: dict[str, float] = {
        "budget": preset.budget,
        "coordinator_ops_per_s": round(
            statistics.median(coordinator_ops_per_s(preset) for _ in range(ROUNDS))
        ),
    }
    if preset.study is not None:
        sizes = {size: bytes_of_study(preset, preset.study, size) for size in STUDY_SIZES}
        return figures | {
            f"bytes_of_study_for_{size}": num_bytes for size, num_bytes in sizes.items()
        }
    figures["proposer_ops_per_s"] = round(
        statistics.median(proposer_ops_per_s(preset) for _ in range(ROUNDS))
    )
    return figures | {
        f"bytes_per_tree_of_{size}": bytes_per_tree(preset, size) for size in TREE_SIZES
    }


def main() -> None:
    """Measure all presets, or profile one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=sorted(PRESETS))
    profiled = parser.parse_args().profile
    # Every preset spends its whole budget here, so that speeds compare.
    presets = {name: replace(preset, stop_rule=StopRule.BUDGET) for name, preset in PRESETS.items()}
    if profiled:
        with cProfile.Profile() as profile:
            run_coordinator(presets[profiled])
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    results = {name: measure(preset) for name, preset in presets.items()}
    print(json.dumps({"num_layers": NUM_LAYERS, "presets": results}))


if __name__ == "__main__":
    main()
