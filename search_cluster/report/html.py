"""The report of a search, as one HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search_cluster.bridged_spec import model_name
from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.reader import Corpus
from search_cluster.corpus.summary import summarise
from search_cluster.files import write_text_whole
from search_cluster.paths.words import path_words
from search_cluster.report.beside import pages_beside
from search_cluster.report.figures import report_figures
from search_cluster.report.first_screen import first_word, search_screen
from search_cluster.report.page import PAGE
from search_cluster.report.preset_benches import parse_search_bench, search_bench_figure
from search_cluster.report.router_evaluations import (
    RouterEvaluation,
    parse_evaluations,
    router_effect,
    router_sentence,
)
from search_cluster.report.shell import plot_values, render_page
from search_cluster.report.tables import (
    MAX_EXAMPLES,
    example_rows,
    headline_cards,
    headline_rows,
    provenance_rows,
    router_rows,
    search_rows,
)
from search_cluster.stats import Effect

EFFECT_KINDS = {Effect.HELPS: "helps", Effect.HURTS: "fails", Effect.CANT_TELL: ""}
"""The style of what is said of a router."""
LIMITS = (
    "Luck. A verdict says that a path was right once. On a question with four choices a ruined "
    "model is right one time in four, so among many tried paths some are right by luck, and the "
    "shortest right path of a question often is. The accuracy found by the search is therefore a "
    "bound, not a result.",
    "Layers are not seconds. A path with fewer layers does less work per token; how much time "
    "that saves depends on the device, the batch and the cost of choosing the path.",
    "One task, one model. A path that serves these questions may ruin others; nothing here was "
    "tried elsewhere.",
)


def write_report(
    folder: Path,
    out: Path,
    *,
    corpus: Corpus,
    run: Mapping[str, Any],
    evaluations: Sequence[Mapping[str, Any]] = (),
    benches: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the report of a run as one self-contained HTML file, atomically.

    Args:
        folder: the run's folder, named in the report.
        out: the file to write.
        corpus: what the search found.
        run: what ``search --json`` says; missing keys are left out.
        evaluations: what ``router-train evaluate --json`` says, one per router.
        benches: what ``search-cluster bench search --json`` says, one per task.

    Raises:
        InvalidValueError: an evaluation or a bench lacks a key.
        CorpusError: the operating system refused.
    """
    routers = parse_evaluations(evaluations)
    bench_figures = [search_bench_figure(parse_search_bench(bench)) for bench in benches]
    provenance = corpus.manifest.provenance
    summary = summarise(corpus.records, provenance.costs)
    verdict, kind = first_word(summary, routers)
    text = render_page(
        PAGE,
        beside=pages_beside(folder, out),
        title=f"Layer paths of {model_name(provenance.model_spec)} on {provenance.task}",
        subtitle=(
            f"Run {folder.name}: {summary.examples} questions of the {provenance.split} split, "
            f"preset {provenance.preset}, {provenance.created_at[:16].replace('T', ' ')}"
        ),
        verdict=verdict,
        verdict_kind=kind,
        screen=search_screen(summary, routers, provenance, run, folder),
        notation=path_words(provenance.num_layers),
        cards=headline_cards(summary, routers, run),
        findings=_router_findings(routers, provenance),
        headline=headline_rows(summary, routers),
        routers=router_rows(routers),
        routers_title="Routers against the plain model"
        if any(_was_searched(item, provenance) for item in routers)
        else "Routers on unseen questions",
        plots=[
            plot_values(figure) for figure in (*report_figures(summary, routers), *bench_figures)
        ],
        search_rows=search_rows(summary, run),
        examples=example_rows(corpus.records),
        examples_note=(
            f"{min(MAX_EXAMPLES, summary.examples)} of {summary.examples} questions, those that a "
            "path fixed first. Green answers are right, red ones wrong."
        ),
        limits=LIMITS,
        provenance=provenance_rows(corpus.manifest),
    )
    write_text_whole(out, text)


def _router_findings(
    routers: Sequence[RouterEvaluation], searched: Provenance
) -> list[dict[str, str]]:
    findings = []
    for item in routers:
        findings.append({"text": router_sentence(item), "kind": EFFECT_KINDS[router_effect(item)]})
        if _was_searched(item, searched):
            seen = (
                f"The {item.split} split of {item.task} was searched: this is no test on unseen "
                "questions."
            )
            findings.append({"text": seen, "kind": "fails"})
    return findings


def _was_searched(evaluation: RouterEvaluation, searched: Provenance) -> bool:
    """Whether the search may have seen the questions of an evaluation."""
    return (evaluation.task, evaluation.split) == (searched.task, searched.split)
