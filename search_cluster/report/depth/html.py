"""The report of a depth study, as one HTML file."""

from pathlib import Path

from search_cluster.bridged_spec import model_name
from search_cluster.depth.result import DepthResult
from search_cluster.files import write_text_whole
from search_cluster.report.depth.figures import depth_figures
from search_cluster.report.depth.page import DEPTH_PAGE
from search_cluster.report.depth.tables import depth_tables
from search_cluster.report.depth.words import answers, first_sentence, screen
from search_cluster.report.shell import plot_values, render_page

LIMITS = (
    "A lens is a reader, not the model. The logit lens reads early states badly; a tuned one is "
    "fitted to say what the end says, and says it earlier than the model could use it. Only what "
    "paths that were run show is about the model itself.",
    "Depth is not time. A token that is settled early saves nothing by itself.",
    "Paths were chosen on some questions. Where these are the same, what paths do to answers is "
    "flattered.",
    "Many figures stand here. Of twenty intervals one misses by chance.",
)


def write_depth_report(folder: Path, out: Path, result: DepthResult) -> None:
    """Write the report of a study as one self-contained HTML file, atomically.

    Args:
        folder: the study's folder, named in the report.
        out: the file to write.
        result: what the study found.

    Raises:
        CorpusError: the operating system refused.
    """
    text = render_page(
        DEPTH_PAGE,
        title=depth_title(result),
        subtitle=(
            f"Study {folder.name}: {result.num_layers} layers, seed {result.seed}; tuned lens: "
            f"{result.lens}"
        ),
        verdict=first_sentence(result),
        answers=answers(result, folder),
        screen=screen(result),
        notes=result.notes,
        plots=[plot_values(figure) for figure in depth_figures(result)],
        tables=depth_tables(result),
        limits=LIMITS,
        provenance=depth_provenance(result),
    )
    write_text_whole(out, text)


def depth_title(result: DepthResult) -> str:
    """What the page of a study is called."""
    task = "" if result.questions is None else f" on {result.questions.task}"
    return f"Depth of {model_name(result.model)}{task}"


def depth_provenance(result: DepthResult) -> list[tuple[str, str]]:
    """What the figures depend on."""
    rows = [
        ("model", result.model),
        ("fingerprint", result.model_fingerprint),
        ("arithmetic", result.dtype),
        ("seed", str(result.seed)),
        ("text", result.text.source),
        ("tuned lens", result.lens),
    ]
    if result.questions is not None:
        part = result.questions
        rows.append(("questions", f"{part.questions:,} of {part.task}, {part.split}"))
    return [*rows, *((name, version) for name, version in result.versions.items())]
