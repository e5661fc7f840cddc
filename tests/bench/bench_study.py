"""What the study of `credible` finds in made-up models whose answers are known.

With it, changes of the study can be compared.

``python tests/bench/bench_study.py --num-models 200 --budget 3300`` makes models of 30 layers, lets
the study run on each, and judges its menu on 6,000 other questions. It takes seconds, where a
judgement by a real model takes minutes and depends on the luck of 400 questions.

The made-up numbers are what `MenuStudy` saw of the demo model on ARC-Easy: margins of identity
(quartiles -0.7 and 1.2 nats), how far a skip moves margins (good layers by 0.55 nats, middling ones
by 0.8, bad ones by 1.7, each question in a way of its own), what it does on average, that margins
shrink, and that two skips are a little worse than their sum. Real questions are less independent,
so that few of them say less than here: what shrinks gains (`gain_estimate`) costs 0.2 of 4.25
layers in this bench at 3,300 evaluations and 0.9 of 3.0 at 600, and gains on the demo model (log).
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from search_cluster.bench.config import SearchBenchConfig
from search_cluster.bench.fresh_judge import PROBE_SLACK
from search_cluster.paths.layer_path import LayerPath
from search_cluster.search.study.study import MenuStudy
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.presets.credible import CREDIBLE

NUM_LAYERS, NUM_PROBES, NUM_JUDGES = 30, 384, 6000
KINDS = (
    ("good", 15, 0.55, 0.0, 0.04, 0.03),
    ("middling", 7, 0.8, -0.07, 0.05, 0.06),
    ("bad", 8, 1.7, -0.5, 0.2, 0.06),
)
"""Name, layers, spread of a skip's shift, mean and spread of its mean over questions, shrinkage."""
PAIR_MEAN, PAIR_SPREAD, PAIR_NOISE = -0.002, 0.03, 0.15
JUDGED_BY = SearchBenchConfig().num_probes
"""Fresh questions of `search-cluster bench search`, whose luck decides whether a path holds."""
PASSES, EXAMINED = 0.8, 3
"""Share of right paths that pass a question's perturbations, and how many a budget examines."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What one study is worth."""

    saved: float
    verified: float
    longest: int


def made_up_margins(rng: np.random.Generator) -> Callable[[LayerPath], Floats]:
    """A model: margins of all questions, probes first, for each path of skips."""
    kinds = [kind for kind in KINDS for _ in range(kind[1])]
    rng.shuffle(kinds)
    num_questions = NUM_PROBES + NUM_JUDGES
    plain = 0.25 + 1.25 * rng.standard_t(3, num_questions)
    shifts = np.stack(
        [
            rng.normal(rng.normal(mean, deviation), spread, num_questions)
            for _, _, spread, mean, deviation, _ in kinds
        ]
    )
    shrinkage = np.array([kind[-1] for kind in kinds])
    pairs = rng.normal(PAIR_MEAN, PAIR_SPREAD, (NUM_LAYERS, NUM_LAYERS))
    noise = rng.normal(0.0, PAIR_NOISE, (NUM_LAYERS, num_questions))
    twice = rng.normal(-0.03, 0.8, num_questions)

    def margins(path: LayerPath) -> Floats:
        counts = path.counts()
        skipped = [layer for layer in range(NUM_LAYERS) if counts[layer] == 0]
        total = plain * np.prod(1.0 - shrinkage[skipped]) + shifts[skipped].sum(axis=0)
        for place, one in enumerate(skipped):
            for other in skipped[place + 1 :]:
                total = total + pairs[one, other] + noise[(7 * one + 3 * other) % NUM_LAYERS]
        return np.asarray(total + twice * (max(counts) > 1))

    return margins


def study(margins: Callable[[LayerPath], Floats], budget: int) -> MenuStudy:
    """Run the study on the first questions."""
    assert CREDIBLE.study is not None
    assert CREDIBLE.evidence is not None
    probes = [
        Example(task="made-up", question=str(i), gold="g", split="train", source="")
        for i in range(NUM_PROBES)
    ]
    found = MenuStudy(
        probes,
        num_layers=NUM_LAYERS,
        max_evaluations=budget,
        plan=CREDIBLE.study,
        max_drop=CREDIBLE.evidence.max_probe_drop,
    )
    known: dict[LayerPath, Floats] = {}
    while trials := found.next_round():
        values = []
        for example, path in trials:
            if path not in known:
                known[path] = margins(path)[:NUM_PROBES]
            values.append(float(known[path][int(example.question)]))
        found.observe(
            [
                Verdict(reward=float(x > 0), margin=x, output=str(x > 0), num_layer_tokens=1)
                for x in values
            ]
        )
    return found


def judge(
    found: MenuStudy, margins: Callable[[LayerPath], Floats], rng: np.random.Generator
) -> Found:
    """Saved layers per right answer, as in ``bench search``, and those expected to hold."""
    identity = margins(LayerPath.identity(NUM_LAYERS))[NUM_PROBES:] > 0
    saved, verified = np.zeros(NUM_JUDGES), np.zeros(NUM_JUDGES)
    room, done = np.full(NUM_JUDGES, EXAMINED), ~identity
    shorter = [item.path for item in found.menu if item.sure and len(item.path) < NUM_LAYERS]
    for path in shorter:
        right = margins(path)[NUM_PROBES:] > 0
        drop, changed = identity.mean() - right.mean(), (identity != right).mean()
        holds = norm.cdf((PROBE_SLACK - drop) / math.sqrt((changed - drop**2) / JUDGED_BY))
        tried = ~done & right & (room > 0)
        passed = tried & (rng.random(NUM_JUDGES) < PASSES)
        room[tried] -= 1
        saved[passed] = NUM_LAYERS - len(path)
        verified[passed] = saved[passed] * holds
        done |= passed
    return Found(
        saved=float(saved[identity].mean()),
        verified=float(verified[identity].mean()),
        longest=max((NUM_LAYERS - len(path) for path in shorter), default=0),
    )


def main() -> None:
    """Print the means over all models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-models", type=int, default=200)
    parser.add_argument("--budget", type=int, default=3300, help="evaluations of a study")
    arguments = parser.parse_args()
    all_found = []
    for seed in range(arguments.num_models):
        rng = np.random.default_rng(seed)
        margins = made_up_margins(rng)
        all_found.append(judge(study(margins, arguments.budget), margins, rng))
    verified = np.array([found.verified for found in all_found])
    error = verified.std() / math.sqrt(len(verified))
    print(
        f"saved {np.mean([found.saved for found in all_found]):.2f}, "
        f"expected to hold {verified.mean():.2f} "
        f"(standard error {error:.2f}, worst fifth {np.quantile(verified, 0.2):.2f}), "
        f"longest skip {np.mean([found.longest for found in all_found]):.1f}"
    )


if __name__ == "__main__":
    main()
