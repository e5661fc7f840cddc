"""The first screen of a search's report: what was found, is it true, what did it cost, what next.

The lines are those of a scan's page (`search_cluster.report.scan.verdict`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.summary import CorpusSummary, num_searched
from search_cluster.report.notes import cut_notes, search_notes
from search_cluster.report.router_evaluations import RouterEvaluation, router_effect
from search_cluster.report.scan.verdict import ScreenLine
from search_cluster.report.scan.words import seconds_text, took_text
from search_cluster.stats import Effect

ROUTERS_FOLDER = "routers"
"""The folder in a run folder where the printed commands put routers."""
_SAID = {
    Effect.HELPS: "helps",
    Effect.HURTS: "hurts",
    Effect.CANT_TELL: "may or may not help, these questions can't tell",
}
_KINDS = {Effect.HELPS: "helps", Effect.HURTS: "fails", Effect.CANT_TELL: ""}


def first_word(summary: CorpusSummary, routers: Sequence[RouterEvaluation]) -> tuple[str, str]:
    """The sentence on top, and its style: of the best router, or of the search where is none."""
    if not summary.examples:
        return "No question was searched yet, so nothing is known.", ""
    if not routers:
        return (
            f"Some path is right on {summary.found_accuracy:.1%} of {summary.examples:,} "
            f"questions, the plain model on {summary.identity_accuracy:.1%}: a bound, for paths "
            "were picked knowing the right answers.",
            "",
        )
    best = best_router(routers)
    effect = router_effect(best)
    gain = f"{100 * (best.accuracy_routed - best.accuracy_plain):+.1f}"
    if best.diff_low is not None and best.diff_high is not None and best.diff_low < best.diff_high:
        gain += f", {100 * best.diff_low:+.1f} to {100 * best.diff_high:+.1f}"
    return (
        f"The router {best.label} {_SAID[effect]}: right on {best.accuracy_routed:.1%} instead of "
        f"{best.accuracy_plain:.1%} of {best.n:,} {best.split} questions ({gain} points), with "
        f"{best.layers_routed:.1f} of {best.layers_plain:g} layers.",
        _KINDS[effect],
    )


def search_screen(
    summary: CorpusSummary,
    routers: Sequence[RouterEvaluation],
    provenance: Provenance,
    run: Mapping[str, Any],
    folder: Path,
) -> tuple[ScreenLine, ...]:
    """The lines beneath it.

    Args:
        summary: what the search found.
        routers: how routers fared.
        provenance: what the search was.
        run: the sums of its sessions; missing keys are left out.
        folder: the run folder, for the command to run next.
    """
    notes = [*search_notes(summary, provenance), *cut_notes(run)]
    return (
        ScreenLine(topic="What was found", text=_found(summary)),
        ScreenLine(topic="Is it true?", text=_truth(summary, routers, provenance)),
        *(ScreenLine(topic="Beware", text=f"{note[0].upper()}{note[1:]}.", kind="fails")
          for note in notes),
        ScreenLine(topic="What it cost", text=_cost(summary, run)),
        ScreenLine(topic="What next", text=_next(summary, routers, folder)),
    )  # fmt: skip


def best_router(routers: Sequence[RouterEvaluation]) -> RouterEvaluation:
    """The one that helps most, or hurts least: by effect, then by right answers, then layers."""
    order = (Effect.HELPS, Effect.CANT_TELL, Effect.HURTS)
    return min(
        routers,
        key=lambda item: (
            order.index(router_effect(item)),
            item.accuracy_plain - item.accuracy_routed,
            item.layers_routed,
        ),
    )


def _found(summary: CorpusSummary) -> str:
    if not summary.examples:
        return "Nothing yet."
    saved = "no best path is right, so nothing is saved"
    if summary.num_best_right:
        saved = (
            f"the {summary.num_best_right:,} right best paths save {summary.mean_layers_saved:.1f} "
            f"of {summary.num_layers} layers on average"
        )
    return (
        f"The plain model answers {summary.identity_accuracy:.1%} of {summary.examples:,} "
        f"questions rightly. For {summary.found_accuracy:.1%} the search knows a path that does, "
        f"the plain one included; for {summary.improved:,} questions the best path is another than "
        f"the plain one; {saved}."
    )


def _truth(
    summary: CorpusSummary, routers: Sequence[RouterEvaluation], provenance: Provenance
) -> str:
    bound = (
        "The search picks paths knowing the right answers, so its accuracy is a bound and partly "
        "luck"
    )
    if provenance.evidence:
        bound += ", though best paths had to be right on other wordings of their question, too"
    if summary.chance is not None:
        bound += f" (uniform guesses: {summary.chance:.1%})"
    if not routers:
        return f"{bound}. No router was evaluated, so nothing is known about unseen questions."
    best = best_router(routers)
    if (best.task, best.split) == (provenance.task, provenance.split):
        return f"{bound}. The router was judged on questions that were searched: that is no test."
    tested = f"n = {best.n:,}" + ("" if best.p_value is None else f", p = {best.p_value:.2g}")
    fresh = f"{best.split} questions of {best.task}, which nothing was chosen on"
    return f"{bound}. The router was judged on {fresh} ({tested})."


def _cost(summary: CorpusSummary, run: Mapping[str, Any]) -> str:
    text = f"{num_searched(run, summary):,} paths"
    if isinstance(hits := run.get("cache_hits"), int) and hits:
        text += f", {hits:,} of them answered by the cache"
    text += took_text(run)
    if isinstance(held_s := run.get("device_seconds"), int | float) and held_s:
        text += f", {seconds_text(held_s)} of devices"
    return f"{text}."


def _next(summary: CorpusSummary, routers: Sequence[RouterEvaluation], folder: Path) -> str:
    run = quote(str(folder))
    if not summary.num_best_right:
        return f"search-cluster scan --task TASK --run {run}-scan: one path for all questions."
    if not routers:
        return (
            f"router-train fit --corpus {run} --router drllm --out {run}/{ROUTERS_FOLDER}/drllm, "
            "then router-train evaluate: what of this a router keeps on unseen questions."
        )
    best = best_router(routers)
    if router_effect(best) is Effect.HELPS:
        name = quote(best.name or best.router)
        return f"router-train export {run}/{ROUTERS_FOLDER}/{name} --out MODEL_FOLDER"
    return (
        "Search more questions and train again, or look for one path that suits all: "
        f"search-cluster scan --task {quote(best.task)} --run {run}-scan"
    )
