"""The generated parts of ``STUDY.md``: tables, each between two comments.

The words around them are people's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from router_train.study.experiments import Experiment
from router_train.study.result import ELSEWHERE_SUFFIX, Figures, Result
from router_train.study.selection import RULE
from search_cluster.corpus.manifest import Provenance
from search_cluster.errors import ConfigError
from search_cluster.files import write_text_whole

HEADER = (
    "| router | learns from | test | difference, points (95 %) | p | layers saved | validation |",
    "|---|---|---|---|---|---|---|",
)


def fill(document: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Replace each part between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, atomically.

    Raises:
        ConfigError: the document lacks a part's comments.
    """
    lines = document.read_text(encoding="utf-8").splitlines()
    for name, content in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if (
            lines.count(begin) != 1
            or lines.count(end) != 1
            or lines.index(end) < lines.index(begin)
        ):
            raise ConfigError(
                f"{document} has no part between {begin} and {end}; add both lines where it belongs"
            )
        lines[lines.index(begin) + 1 : lines.index(end)] = content
    write_text_whole(document, "\n".join(lines) + "\n")


def corpus_line(
    name: str, provenance: Provenance, *, num_examples: int, num_paths: int, size_bytes: int
) -> str:
    """The row of a kept corpus in a list."""
    return (
        f"- `{name}`: {num_examples:,} questions of `{provenance.task}` ({provenance.split}), "
        f"preset `{provenance.preset}`, budget {provenance.budget}, seed {provenance.seed}; "
        f"{num_paths:,} paths with their verdicts, {size_bytes / 1e6:.1f} MB"
    )


def table_lines(rows: Sequence[tuple[Experiment, Result]], best: Result | None) -> list[str]:
    """The table of one corpus; the chosen row is bold."""
    return [*HEADER, *(_row(experiment, result, result is best) for experiment, result in rows)]


def elsewhere_lines(results: Sequence[Result]) -> list[str]:
    """The chosen routers on other tasks."""
    lines = [
        "| router | on | n | right | difference, points (95 %) | p | layers saved |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        name = result.full_name.removesuffix(ELSEWHERE_SUFFIX)
        lines += [
            f"| {name} | {task} | {found.n:,} | {_cells(found)} |"
            for task, found in result.figures.items()
        ]
    return lines


def choice_line(corpus: str, best: Result | None) -> str:
    """The sentence that says which row was chosen, and by which rule."""
    chosen = "none" if best is None else f"`{best.inputs.name}`"
    return f"Chosen of {corpus}: {chosen} ({RULE})."


def command_lines(results: Sequence[Result]) -> list[str]:
    """Every row's commands, in a block of code."""
    lines = ["```sh"]
    for result in results:
        lines += [f"# {result.full_name}", *result.commands]
    return [*lines, "```"]


def _row(experiment: Experiment, result: Result, chosen: bool) -> str:
    test, validation = result.figures.get("test"), result.figures.get("validation")
    name = f"**{experiment.name}**" if chosen else experiment.name
    taught = (
        ""
        if experiment.oracle or experiment.config.router == "identity"
        else f"{result.num_train:,} labels"
    )
    if experiment.table and experiment.config.router in ("static", "menu"):
        taught = (
            "the table"
            if experiment.config.train_limit is None
            else f"{experiment.size} rows of the table"
        )
    return f"| {name} | {taught} | {_cells(test)} | {_validation(validation)} |"


def _cells(figures: Figures | None) -> str:
    if figures is None:
        return "| | | "
    accuracy = f"{100 * figures.accuracy_plain:.1f} to {100 * figures.accuracy_routed:.1f} %"
    saved = f"{100 * figures.layers_saved_share:.1f} %"
    if figures.diff_low is None or figures.diff_high is None or figures.p_value is None:
        return f"{accuracy} | {100 * figures.diff:+.1f} | | {saved}"
    low, high = 100 * figures.diff_low, 100 * figures.diff_high
    interval = f"{100 * figures.diff:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"{accuracy} | {interval} | {figures.p_value:.2g} | {saved}"


def _validation(figures: Figures | None) -> str:
    if figures is None:
        return ""
    return f"{100 * figures.diff:+.1f} points, {100 * figures.layers_saved_share:.1f} % saved"
