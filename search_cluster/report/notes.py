"""What a user has to know about a finished search beside its numbers.

Each note says what was seen and what to do.
"""

from collections.abc import Mapping
from typing import Any

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.summary import CorpusSummary

WORTH_A_STUDY = (
    "40 questions or more (100 are better), budgets from 20 and a task that the model can do"
)
"""What a preset that studies other questions needs, as `search_cluster/tree/README.md` says."""

MAX_CAUSES = 5
"""Causes of failures that a note names; the rest is counted."""


def search_notes(summary: CorpusSummary, provenance: Provenance) -> tuple[str, ...]:
    """The notes; there are none if all went as it should.

    They tell of paths without a verdict, of a plain model that may be guessing, of best paths that
    nothing was checked of, and of evidence that no path gave.
    """
    notes = []
    if summary.failures:
        causes = [f"{count:,} x {cause}" for cause, count in summary.failure_causes[:MAX_CAUSES]]
        if (num_more := len(summary.failure_causes) - len(causes)) > 0:
            causes.append(f"{num_more} more causes")
        notes.append(
            f"paths without a verdict: {summary.failures:,} ({'; '.join(causes)}); the first: "
            f"{summary.first_failure}"
        )
    if summary.plain_is_guessing and summary.examples:
        notes.append(
            f"the plain model is right on {summary.identity_accuracy:.1%} "
            f"({summary.identity_low:.1%} to {summary.identity_high:.1%}) of {summary.examples:,} "
            f"questions, which can't be told from guessing ({summary.chance:.1%}): what paths save "
            "or fix here may be luck; search more questions, or take a model that can do the task"
        )
    if summary.num_unchecked:
        notes.append(
            f"{summary.num_unchecked:,} best paths count as credible without a single check, since "
            "an older version found nothing to check: search again in a new folder"
        )
    if provenance.evidence and summary.examples and not summary.improved:
        notes.append(_nothing_proved(summary, provenance))
    return tuple(notes)


def _nothing_proved(summary: CorpusSummary, provenance: Provenance) -> str:
    if max(count for count, _ in summary.evaluations) <= 1:
        what = (
            "the study of other questions found no path to try, so nothing but the plain path "
            "was searched"
        )
    else:
        what = (
            "no path that was tried gave the evidence that best paths need, so the plain path is "
            "the best of each"
        )
    return (
        f"preset {provenance.preset}: {what}. This search had {summary.examples} questions, a "
        f"budget of {provenance.budget}, and a model that is right on "
        f"{summary.identity_accuracy:.0%} of them; the preset needs {WORTH_A_STUDY}: raise them in "
        "a new run folder, or take --preset drllm, whose best paths prove nothing"
    )


def nothing_to_verify(preset: str, task: str) -> str:
    """The line of a search whose preset asks for evidence that no question can give."""
    return (
        f"preset {preset}: nothing can be verified here, for no question of task {task} can be put "
        "differently in a way that surely keeps its answer; so no path but the plain one can be "
        "credible, and none is written: give the task wordings (search_cluster/tasks/README.md), "
        "or take --preset drllm, whose best paths prove nothing"
    )


def cut_notes(run: Mapping[str, Any]) -> tuple[str, ...]:
    """What a search's counters say of answers that were cut; nothing if none was.

    Args:
        run: what ``search --json`` says; it may lack keys.
    """
    num_cut, num_evaluated = run.get("cut_answers"), run.get("paths_evaluated")
    if not isinstance(num_cut, int) or not num_cut:
        return ()
    of_all = f" of {num_evaluated:,}" if isinstance(num_evaluated, int) else ""
    return (
        f"{num_cut:,}{of_all} answers that were computed were cut by the task's max_new_tokens "
        "before they ended; what was cut may be graded wrong: raise max_new_tokens if the plain "
        "model's answers are among them",
    )
