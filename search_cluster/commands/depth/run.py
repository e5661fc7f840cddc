"""``search-cluster depth``: the depth study of a model, from what is asked to its files."""

import logging
from contextlib import ExitStack
from typing import Any

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.commands.depth.drawn import draw_questions
from search_cluster.commands.depth.findings import Findings, findings_of
from search_cluster.commands.depth.gathering import StudyGathering
from search_cluster.commands.depth.inputs import read_inputs
from search_cluster.commands.depth.lenses import NamedLens
from search_cluster.commands.depth.notes import study_notes
from search_cluster.commands.depth.parts import PartStore
from search_cluster.commands.depth.patching import patch_plan
from search_cluster.commands.depth.reading import StudyReader
from search_cluster.commands.depth.rows import write_rows
from search_cluster.commands.depth.subject import paths_of, subject_of
from search_cluster.commands.pass_progress import PassProgress
from search_cluster.commands.provenance import installed_versions
from search_cluster.console import say
from search_cluster.depth.onset import THRESHOLDS
from search_cluster.depth.result import DepthResult, write_depth_result
from search_cluster.lock import locked_run_folder
from search_cluster.report.depth.html import write_depth_report
from search_cluster.report.depth.words import headline
from search_cluster.tasks.registry import get_task

REPORT_NAME = "report.html"
logger = logging.getLogger(__name__)


def run_depth(request: StudyRequest) -> dict[str, Any]:
    """Study, write ``depth.json``, ``rows.parquet`` and the report, and give what ``--json`` says.

    Running it again on the same folder computes nothing twice.

    Raises:
        SearchClusterError: settings, data or model are not as they must be.
        KeyboardInterrupt: parts that were read so far are on disk.
    """
    from search_cluster.commands.lens.judge import named_lens, taught_notes
    from search_cluster.commands.lens.texts import QUESTIONS, questions_digest
    from search_cluster.commands.model import load_configured
    from search_cluster.model.engine.rechecks import TIE_THRESHOLDS

    subject = subject_of(request.task)
    config = request.config
    loaded = load_configured(config)
    if subject.finder is not None:
        subject.finder.require(loaded.identity)
    paths = paths_of([*request.paths, *subject.found], loaded.num_layers)
    task = subject.task
    questions = draw_questions(request, task)
    patch = None
    if request.patch is not None:
        donor = get_task(request.patch)
        patch = patch_plan(
            loaded,
            (task, questions),
            (donor, draw_questions(request, donor)),
            request.settings.patch_questions,
        )
    lens: NamedLens | None = None
    lens_notes: tuple[str, ...] = ()
    if request.lens is not None:
        lens = NamedLens(name=request.lens, lens=named_lens(request.lens, loaded))
        held = {QUESTIONS: questions_digest((*questions.studied, *questions.others))}
        lens_notes = taught_notes(request.lens, request.read_texts(task.name, held))
    progress = _Progress()
    progress.stage("text, files and questions")
    inputs = read_inputs(request, loaded, task, questions)
    known = (*lens_notes, *inputs.notes)
    for note in known:
        logger.warning("%s", note)
    with ExitStack() as stack:
        stack.enter_context(locked_run_folder(request.out))
        plan = request.plan(
            model=loaded.fingerprint,
            task=f"{task.name} {task.version}",
            examples=questions.digest,
            lens=None if lens is None else lens.digest,
            paths=[str(path) for path in paths],
            patch=None if patch is None else patch.digest,
        )
        reader = StudyReader(
            loaded=loaded, store=PartStore(request.out, plan), on_part=progress.part
        )
        gathering = StudyGathering(
            request=request,
            loaded=loaded,
            task=task,
            questions=questions,
            inputs=inputs,
            lens=lens,
            paths=paths,
            patch=patch,
            reader=reader,
            on_stage=progress.stage,
        )
        gathered, lenses = gathering.gather()
        progress.stage("figures")
        found = findings_of(
            gathered,
            text_of=gathering.text_of,
            threshold=TIE_THRESHOLDS[loaded.dtype],
            words_source=request.pos.name if request.pos is not None else "",
        )
        notes = (*known, *study_notes(found))
        result = _result(
            request, found, loaded_as=loaded, lens=lenses.said, notes=notes, counts=reader.counts
        )
        write_rows(request.out, gathered)
        write_depth_result(request.out, result)
        write_depth_report(request.out, request.out / REPORT_NAME, result)
    return {
        "out": str(request.out),
        "model": result.model,
        "task": task.name,
        "found": headline(result),
        "notes": list(result.notes),
        "report": str(request.out / REPORT_NAME),
        **reader.counts,
    }


def _result(
    request: StudyRequest,
    found: Findings,
    *,
    loaded_as: Any,
    lens: str,
    notes: tuple[str, ...],
    counts: dict[str, int],
) -> DepthResult:
    return DepthResult(
        model=request.config.model,
        model_fingerprint=loaded_as.fingerprint,
        num_layers=loaded_as.num_layers,
        dtype=loaded_as.dtype,
        seed=request.config.seed,
        lens=lens,
        thresholds=THRESHOLDS,
        text=found.text,
        word_classes=found.word_classes,
        facts=found.facts,
        questions=found.questions,
        paths=found.paths,
        layers=found.layers,
        prior_checks=found.prior_checks,
        patching=found.patching,
        notes=notes,
        counts=dict(counts),
        versions=installed_versions(),
    )


class _Progress:
    """Says what begins, and how many parts of it are done."""

    def __init__(self) -> None:
        self._stage = ""
        self._passes = PassProgress("depth")

    def stage(self, name: str) -> None:
        """Something else begins."""
        self._stage = name
        say(f"depth: {name}")

    def part(self, done: int, total: int) -> None:
        """A part is read."""
        if total > 1:
            self._passes(f"{self._stage}, parts", done, total)
