"""What scans leave behind, made up by a simulation: no model runs.

Layers near both ends matter, those behind the middle hardly do. A path's answers are drawn from
what it is truly worth, and whatever a real scan would compute from answers is computed from them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import norm
from support.run_folders import counters, write_samples, write_session

from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.progress import ProgressLog, ScanProgress, ScanStage
from search_cluster.scan.result import (
    CandidateSummary,
    Finalist,
    Rung,
    ScanResult,
    Standing,
    Timing,
)
from search_cluster.scan.result_file import write_result

PLAIN = 0.46
"""The plain model's accuracy."""
GUESSING = 0.25
WRECK = -0.15
"""Paths that lose more are wrecks."""
QUESTIONS = (32, 96, 224, 524)
"""Questions of the rungs."""


class ScanSimulation:
    """Draws what paths answer.

    Args:
        num_layers: the model's depth.
        is_sure: whether skipping layers behind the middle gains accuracy, or costs a little.
        seed: of all draws.
    """

    def __init__(self, *, num_layers: int = 30, is_sure: bool = True, seed: int = 0) -> None:
        self.num_layers = num_layers
        self.rng = np.random.default_rng(seed)
        layers = np.arange(num_layers)
        self._cost = 0.5 * np.exp(-layers / 1.5) + 0.4 * np.exp(-(num_layers - 1 - layers)) + 0.012
        spare = (layers > 0.45 * num_layers) & (layers < 0.7 * num_layers)
        self._cost[spare] = -0.014 if is_sure else 0.004

    def true_gain(self, edits: Sequence[Edit]) -> float:
        """What the edits do to the accuracy on all questions there are."""
        cost = sum(
            (1.0 if edit.passes == 0 else 0.5 * (edit.passes - 1))
            * float(
                self._cost[edit.first : edit.end].sum()
                if edit.passes == 0
                else np.abs(self._cost[edit.first : edit.end]).sum()
            )
            for edit in edits
        )
        return max(GUESSING - PLAIN, min(-cost, 0.06))

    def standing(self, edits: Sequence[Edit], num_questions: int, num_compared: int) -> Standing:
        """What so many fresh questions show of the edits."""
        true = self.true_gain(edits)
        moved = 0.12 + abs(true)
        fixed, broken, _ = self.rng.multinomial(
            num_questions, [(moved + true) / 2, (moved - true) / 2, 1 - moved]
        )
        gain = float(fixed - broken) / num_questions
        n = num_questions + 2
        error = float(((fixed + broken + 2) / n - ((fixed - broken) / n) ** 2) / n) ** 0.5
        half = float(norm.isf(0.025 / num_compared)) * error
        plain = self.rng.binomial(num_questions, PLAIN) / num_questions
        return Standing(
            num_questions=num_questions,
            num_compared=num_compared,
            accuracy=plain + gain,
            plain_accuracy=plain,
            gain=gain,
            low=gain - half,
            high=gain + half,
            p_adjusted=min(1.0, float(2 * num_compared * norm.sf(abs(gain) / error))),
        )

    def candidate(
        self, edits: Sequence[Edit], num_questions: int, num_compared: int, *, step: int = 0
    ) -> CandidateSummary:
        """What the search says of the edits."""
        train = self.standing(edits, num_questions, num_compared)
        worth = 0.6 * self.true_gain(edits) + 0.4 * train.gain
        path = path_of_edits(edits, self.num_layers)
        return CandidateSummary(
            path=str(path),
            layers=len(path),
            edits=tuple(edits),
            step=step,
            train=train,
            worth=worth,
            shrunk=worth * num_questions / (num_questions + 150),
            is_wreck=self.true_gain(edits) < WRECK,
        )


def single_edits(num_layers: int, passes: Sequence[int] = (0, 2)) -> list[Edit]:
    """All contiguous skips and repeats; all layers can't be skipped."""
    return [
        Edit(first, end, times)
        for times in passes
        for first in range(num_layers)
        for end in range(first + 1, num_layers + 1)
        if times or end - first < num_layers
    ]


def race(
    simulation: ScanSimulation, edits: Sequence[Edit], numbers: Sequence[int] = QUESTIONS
) -> tuple[list[CandidateSummary], list[Rung]]:
    """All single edits on the questions of the first rung, and the better quarter on the next."""
    left = list(edits)
    found: dict[Edit, CandidateSummary] = {}
    rungs = []
    for num_questions in numbers:
        now = {edit: simulation.candidate([edit], num_questions, len(edits)) for edit in left}
        found |= now
        sound = [edit for edit in now if not now[edit].is_wreck]
        kept = sorted(sound, key=lambda edit: -now[edit].shrunk)[: max(4, len(now) // 4)]
        rungs.append(
            Rung(
                step=0,
                num_questions=num_questions,
                num_paths=len(now),
                num_wrecks=len(now) - len(sound),
                num_kept=len(kept),
            )
        )
        left = kept
    return list(found.values()), rungs


def scan_result(*, is_sure: bool = True, num_layers: int = 30, seed: int = 0) -> ScanResult:
    """What a scan found where something is sure, or nothing."""
    simulation = ScanSimulation(num_layers=num_layers, is_sure=is_sure, seed=seed)
    singles, rungs = race(simulation, single_edits(num_layers))
    best = sorted(singles, key=lambda item: (-item.train.num_questions, -item.shrunk))
    blocks = (item.edits[0] for item in best)
    skips = [edit for edit in blocks if edit.passes == 0 and edit.end - edit.first <= 3][:10]
    pairs = [
        (first, second)
        for at, first in enumerate(skips)
        for second in skips[at + 1 :]
        if first.end < second.first or second.end < first.first
    ]
    grown = [
        simulation.candidate(sorted(pair), QUESTIONS[-1], len(singles) + len(pairs), step=1)
        for pair in pairs
    ]
    rungs.append(
        Rung(
            step=1, num_questions=QUESTIONS[-1], num_paths=len(grown), num_wrecks=0,
            num_kept=min(4, len(grown)),
        )
    )  # fmt: skip
    candidates = sorted([*singles, *grown], key=lambda item: (item.step, item.path))
    finalists = _finalists(simulation, candidates)
    winner = finalists[0]
    sure = winner.test is not None and winner.test.low > 0
    num_questions = sum(rung.num_paths * rung.num_questions for rung in rungs)
    return ScanResult(
        model="demo",
        model_fingerprint="f" * 32,
        num_layers=num_layers,
        dtype="float32",
        tasks=("elements",),
        guards=("arc_easy", "mmlu"),
        families=("repeat", "skip"),
        max_block=num_layers,
        passes=2,
        grow=2,
        aim="accuracy",
        seed=seed,
        verdict_context="c" * 16,
        rungs=tuple(rungs),
        candidates=tuple(candidates),
        finalists=finalists,
        chosen=winner.summary.path if sure else f"0-{num_layers - 1}",
        sure=sure,
        chance_best=0.213,
        chance_paths=929,
        chance_questions=32,
        smallest_gain=0.044,
        num_candidates=len(candidates),
        verdicts=num_questions // 2,
        exhaustive_verdicts=len(candidates) * QUESTIONS[-1],
        test_uses=1,
        versions={"search-cluster": "0.2.0", "torch": "2.9", "transformers": "5.23"},
        digest="d" * 64,
    )


def _finalists(
    simulation: ScanSimulation, candidates: Sequence[CandidateSummary]
) -> tuple[Finalist, ...]:
    chosen = sorted(candidates, key=lambda item: -item.shrunk)[:5]
    validated = [
        Finalist(summary=item, validation=simulation.standing(item.edits, 500, len(chosen)))
        for item in chosen
    ]
    validated.sort(key=lambda item: -item.validation.gain)  # type: ignore[union-attr]
    return tuple(
        replace(
            item,
            test=simulation.standing(item.summary.edits, 1000, 2) if rank < 2 else None,
            guards={
                name: simulation.standing(item.summary.edits, 400, 2)
                for name in ("arc_easy", "mmlu")
            },
            timings=tuple(
                Timing(
                    batch=batch,
                    seconds=batch * 0.02 * (item.summary.layers + 4),
                    plain_seconds=batch * 0.02 * (simulation.num_layers + 4),
                )
                for batch in (1, 8)
            ),
        )
        for rank, item in enumerate(validated)
    )


def scan_progress(
    *, num_layers: int = 30, finished_rungs: int = 1, stage: ScanStage = ScanStage.RACE
) -> tuple[ScanProgress, list[CandidateSummary]]:
    """How far a scan is, and where all paths stand, after the first rungs of the race."""
    simulation = ScanSimulation(num_layers=num_layers)
    edits = single_edits(num_layers)
    standings, rungs = race(simulation, edits, QUESTIONS[:finished_rungs])
    num_paths = rungs[-1].num_kept if rungs else len(edits)
    return (
        ScanProgress(
            model="demo",
            tasks=("elements",),
            num_layers=num_layers,
            seed=0,
            stage=stage,
            step=0,
            num_questions=QUESTIONS[finished_rungs],
            num_paths=num_paths,
            verdicts_done=1200,
            verdicts_wanted=num_paths * 64,
            verdicts=1200 + sum(rung.num_paths * 32 for rung in rungs),
            num_candidates=len(edits),
            rungs=tuple(rungs),
            best=max(standings, key=lambda item: item.shrunk) if standings else None,
        ),
        standings,
    )


def write_scan(folder: Path, result: ScanResult) -> Path:
    """The folder of a finished scan, with one session."""
    done = result.verdicts
    write_session(folder, counters(720, done=done, total=done, paths=done, hits=2000))
    write_samples(
        folder, [counters(second, done=0, paths=60 * second) for second in range(0, 721, 8)]
    )
    write_result(folder, result)
    return folder


def write_running_scan(folder: Path, *, finished_rungs: int = 1, age_s: float = 0) -> Path:
    """The folder of a scan that runs."""
    progress, standings = scan_progress(finished_rungs=finished_rungs)
    done = progress.verdicts
    write_session(
        folder, counters(90, done=done, total=2 * done, paths=done, hits=done // 9), age_s=age_s
    )
    write_samples(
        folder,
        [
            counters(second, done=done * second // 90, paths=done * second // 90)
            for second in range(0, 91, 5)
        ],
    )
    log = ProgressLog(folder)
    if standings:
        log.end_round(progress, standings)
    log.update(progress, force=True)
    return folder
