"""What a scan's answers say: ``scan.json``, and what ``--json`` reports of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_cluster.commands.provenance import installed_versions
from search_cluster.commands.scan.job import ScanJob
from search_cluster.commands.scan.left_out import left_out, left_out_figures
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.scan.digest import scan_digest
from search_cluster.scan.questions import TEST, TRAIN, VALIDATION
from search_cluster.scan.racing.choice import Confirmed, is_guessing_on, is_sure
from search_cluster.scan.racing.searched import Searched
from search_cluster.scan.racing.summaries import summaries
from search_cluster.scan.result import CandidateSummary, Finalist, ScanResult, Standing
from search_cluster.scan.space import Candidate
from search_cluster.scan.standings import differences, facts_asked, standings
from search_cluster.scan.statistics.chance import best_by_chance
from search_cluster.scan.statistics.design import design_effects
from search_cluster.scan.statistics.differences import differences_of
from search_cluster.scan.statistics.power import smallest_gain
from search_cluster.scan.table import ScanTable
from search_cluster.tasks.example import Example

if TYPE_CHECKING:
    from search_cluster.workers.messages import WorkerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLooks:
    """What was asked, and how the finalists came out."""

    searched: Searched
    confirmed: Confirmed
    validation: AnswerTable
    test: AnswerTable
    guards: Mapping[str, AnswerTable]
    """By the task's name."""
    test_uses: int


def scan_result(job: ScanJob, looks: ScanLooks, table: ScanTable, info: "WorkerInfo") -> ScanResult:
    """All that a scan found.

    Args:
        job: what was asked for.
        looks: the answers.
        table: every pair that was asked, and no other.
        info: the workers'.
    """
    candidates = summaries(looks.searched)
    finalists = _finalists(job, looks, candidates)
    identity = LayerPath.identity(job.num_layers)
    reported = [item.path for item in looks.confirmed.reported]
    plain_is_guessing = is_guessing_on(looks.test)
    chosen = identity
    for candidate, finalist in zip(looks.confirmed.order, finalists, strict=True):
        if finalist.test is not None and is_sure(
            candidate,
            finalist.test,
            finalist.test_by_task,
            job.settings.aim,
            plain_is_guessing=plain_is_guessing,
        ):
            chosen = candidate.path
            break
    searched, settings = looks.searched, job.settings
    prior = "" if job.prior is None else job.prior.digest
    chance_NP, chance_facts = _chance_table(job, searched)
    return ScanResult(
        model=job.config.model_spec,
        model_fingerprint=info.model_fingerprint,
        num_layers=job.num_layers,
        dtype=info.dtype,
        chat="always" if info.chat else "never",
        tasks=job.tasks.names,
        guards=tuple(looks.guards),
        families=settings.families,
        max_block=settings.max_block or job.num_layers,
        passes=settings.passes,
        grow=settings.grow,
        aim=settings.aim,
        seed=job.config.seed,
        limit=job.config.limit,
        budget=settings.budget,
        minutes=settings.minutes,
        depth_prior=prior,
        stopped_by=searched.stopped_by,
        made_splits={
            task.name: job.tasks.questions[task.name].made
            for task in job.tasks.everybody
            if job.tasks.questions[task.name].made
        },
        verdict_context=",".join(table.context.contexts.values()),
        rungs=searched.rungs,
        candidates=candidates,
        finalists=finalists,
        chosen=str(chosen),
        sure=not chosen.is_identity,
        chance_best=best_by_chance(chance_NP, chance_facts),
        chance_paths=chance_NP.shape[1],
        chance_questions=chance_NP.shape[0],
        smallest_gain=smallest_gain_of(looks, reported),
        num_candidates=len(candidates),
        verdicts=searched.num_verdicts,
        exhaustive_verdicts=searched.num_exhaustive,
        test_uses=looks.test_uses,
        plain_is_guessing=plain_is_guessing,
        left_out=left_out(
            {
                TRAIN: searched.tables,
                VALIDATION: [looks.validation],
                TEST: [looks.test],
                **{name: [guard] for name, guard in looks.guards.items()},
            },
            table.outcomes(),
        ),
        versions=installed_versions(),
        digest=scan_digest(
            table, [item.path for item in looks.confirmed.order], chosen, depth_prior=prior
        ),
    )


def _finalists(
    job: ScanJob, looks: ScanLooks, candidates: Sequence[CandidateSummary]
) -> tuple[Finalist, ...]:
    order, reported = looks.confirmed.order, looks.confirmed.reported
    summary_of = {item.path: item for item in candidates}
    on_validation = _standings_of(looks.validation, order)
    on_test = _standings_of(looks.test, reported)
    several = job.tasks.names if len(job.tasks.names) > 1 else ()
    by_task = {name: _standings_of(looks.test, reported, name) for name in several}
    guarded = {name: _standings_of(table, reported) for name, table in looks.guards.items()}
    return tuple(
        Finalist(
            summary=summary_of[str(item.path)],
            validation=on_validation[item.path],
            test=on_test.get(item.path),
            test_by_task={name: of[item.path] for name, of in by_task.items() if item.path in of},
            guards={name: of[item.path] for name, of in guarded.items() if item.path in of},
        )
        for item in order
    )


def _standings_of(
    table: AnswerTable, candidates: tuple[Candidate, ...], task: str | None = None
) -> dict[LayerPath, Standing]:
    def is_asked(question: Example) -> bool:
        return task is None or question.task == task

    paths = [item.path for item in candidates]
    return dict(zip(paths, standings([table], paths, is_asked), strict=True))


def _chance_table(job: ScanJob, searched: Searched) -> tuple[NDArray[np.float64], list[int]]:
    """Differences on the first questions by which paths were chosen, of all that raced on them.

    And the facts that these questions ask for.

    Combinations are asked these questions later, when they are among the best already.
    """
    num_questions = job.plan.rungs[0] * len(job.tasks.names)
    first = searched.tables[0]
    paths = [
        item.path
        for item in searched.candidates
        if item.step == 0 and len(first.by_path.get(item.path, ())) >= num_questions
    ]
    found_NP = differences([first], paths)[:num_questions]
    asked = np.flatnonzero((~np.isnan(found_NP)).any(axis=1))
    facts = facts_asked([first])
    return found_NP[asked], [facts[place] for place in asked]


def smallest_gain_of(looks: ScanLooks, reported: list[LayerPath]) -> float:
    """The smallest gain that test shows, if paths change as many answers as on validation."""
    seen_NP = differences([looks.validation], reported)
    if np.isnan(seen_NP).all():
        return 1.0
    seen = differences_of(seen_NP, facts_asked([looks.validation]))
    # About what each path gains: what all facts gain alike does not make them fewer.
    design = design_effects(seen.centred(), seen.has_run_NP, seen.facts).mean()
    return smallest_gain(
        float(np.nanmean(np.abs(seen_NP))),
        int(len(looks.test.places(looks.test.identity)) / design),
        num_compared=len(reported),
    )


def scan_figures(result: ScanResult) -> dict[str, Any]:
    """What ``--json`` reports of a result, beside what the run cost.

    If nothing is sure, the path is the plain one, and gains are those of the best finalist.
    """
    shown = next(
        (item for item in result.finalists if item.summary.path == result.chosen),
        next((item for item in result.finalists if item.test is not None), None),
    )
    standing = None if shown is None else shown.test
    chosen = result.num_layers if not result.sure or shown is None else shown.summary.layers
    return {
        "model": result.model,
        "task": ",".join(result.tasks),
        "tasks": list(result.tasks),
        "aim": result.aim,
        "seed": result.seed,
        "depth_prior": result.depth_prior,
        "path": result.chosen,
        "layers": chosen,
        "num_layers": result.num_layers,
        "sure": result.sure,
        "best_finalist": None if shown is None else shown.summary.path,
        "gain_test": None if standing is None else standing.gain,
        "gain_low": None if standing is None else standing.low,
        "gain_high": None if standing is None else standing.high,
        "p_adjusted": None if standing is None else standing.p_adjusted,
        "questions_test": None if standing is None else standing.num_questions,
        "facts_test": None if standing is None else standing.num_facts,
        "chance_best": result.chance_best,
        "chance_paths": result.chance_paths,
        "chance_questions": result.chance_questions,
        "smallest_gain": result.smallest_gain,
        "num_candidates": result.num_candidates,
        "verdicts": result.verdicts,
        "exhaustive_verdicts": result.exhaustive_verdicts,
        "test_uses": result.test_uses,
        "plain_is_guessing": result.plain_is_guessing,
        "left_out": left_out_figures(result.left_out),
        "stopped_by": result.stopped_by,
        "finalists": [_finalist_figures(item) for item in result.finalists],
        "rungs": [
            {
                "step": rung.step,
                "questions": rung.num_questions,
                "paths": rung.num_paths,
                "wrecks": rung.num_wrecks,
                "kept": rung.num_kept,
            }
            for rung in result.rungs
        ],
        "digest": result.digest,
    }


def _finalist_figures(finalist: Finalist) -> dict[str, Any]:
    summary = finalist.summary
    return {
        "path": summary.path,
        "edits": [str(edit) for edit in summary.edits],
        "layers": summary.layers,
        "gain_train": summary.train.gain,
        "shrunk": summary.shrunk,
        "gain_validation": None if finalist.validation is None else finalist.validation.gain,
        "gain_test": None if finalist.test is None else finalist.test.gain,
        "gain_low": None if finalist.test is None else finalist.test.low,
        "gain_high": None if finalist.test is None else finalist.test.high,
        "guards": {name: item.gain for name, item in finalist.guards.items()},
    }
