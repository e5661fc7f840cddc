"""The first screen of a search while it runs: what was found, is it true, its cost, what next.

The dashboard shows it. A scan and a depth study bring lines of their own.
"""

from pathlib import Path
from shlex import quote
from typing import Any

from search_cluster.report.scan.words import seconds_text

FINISHED, SILENT = "finished", "silent"
"""States of `search_cluster.dashboard.run_folder.RunState` after which nothing is under way."""


def screen_lines(values: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """Topics and texts, ready for JSON.

    Args:
        values: what `search_cluster.dashboard.overview.describe_run` says beside these lines.
        folder: the run folder, for the command to run next.
    """
    found, costs = values["found"], values["costs"]
    lines = [("What was found", _found(found)), ("Is it true?", _truth(values))]
    if costs["device_seconds"]:
        lines.append(
            (
                "What it cost",
                f"{costs['paths_searched']:,} paths; {seconds_text(costs['elapsed_seconds'])}, "
                f"{seconds_text(costs['device_seconds'])} of devices.",
            )
        )
    lines.append(("What next", _next(values, folder)))
    return [{"topic": topic, "text": text, "kind": ""} for topic, text in lines]


def _found(found: dict[str, Any]) -> str:
    if not found["examples"]:
        return "Nothing yet: no question is finished."
    saved = found["mean_layers_saved"]
    kept = (
        "no path is right"
        if saved is None
        else f"best paths save {saved:.1f} of {found['num_layers']} layers on average"
    )
    return (
        f"Some path is right on {found['found']['share']:.1%} of {found['examples']:,} questions, "
        f"the plain model on {found['identity']['share']:.1%}; {kept}."
    )


def _truth(values: dict[str, Any]) -> str:
    provenance = values["run"]["provenance"]
    proved = (
        " Best paths had to be right on other wordings of their question, too."
        if provenance and provenance["evidence"]
        else ""
    )
    return (
        "A bound: paths are picked knowing the right answers, and some are right by luck."
        f"{proved} What holds on unseen questions is what a router shows there."
    )


def _next(values: dict[str, Any], folder: Path) -> str:
    run = quote(str(folder))
    state = values["run"]["state"]
    if state == FINISHED:
        return (
            f"search-cluster report {run}, then router-train fit --corpus {run} --router drllm "
            f"--out {run}/routers/drllm"
        )
    if state == SILENT:
        return "Run the same search again: it goes on where this one ended."
    budget, searched = values["progress"]["study_budget"], values["costs"]["paths_searched"]
    if budget:
        return (
            f"Other questions are studied first ({searched:,} of at most {budget:,} paths); the "
            "questions themselves come next."
        )
    return "It is under way; this page follows it."
