"""What a user has to know about a finished search beside its numbers.

Each note says what was seen and what to do.
"""

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

    They tell of paths without a verdict, and of evidence that no path gave.
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
