"""The command group ``router-train study``: options and their help. The work, and everything heavy, is elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import TRAINING_RESUMES, one_line_errors

HERE = Path(__file__).parent

app = typer.Typer(help="Compare all routers on kept corpora, and check the best of them.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option(help="Work folder; finished rows in it are not computed again.")]
DocumentOption = Annotated[Path, typer.Option(help="Text with the comments between which tables go.")]
KeptOption = Annotated[Path, typer.Option(help="Folder of kept corpora.")]
ChosenOption = Annotated[Path, typer.Option(help="File that names the best router of each corpus.")]
DataOption = Annotated[Path | None, typer.Option(help="Local benchmark files; default: LPS_DATA_DIR.")]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="Questions per split, for trying things out; default: all.")
]


@app.command(epilog="Example: router-train study keep runs/arc_easy --name arc_easy")
def keep(
    corpus: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished corpus.")],
    name: Annotated[str, typer.Option(help="The kept corpus' name; one of that name is replaced.")],
    kept: KeptOption = HERE / "corpora",
) -> None:
    """Keep a corpus and its menu's table without texts: ids, paths and verdicts."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.study.commands import run_keep  # torch and transformers: seconds

        run_keep(corpus, kept, name)


@app.command(epilog="Example: router-train study run --out runs/study --only 'elements/static*'")
def run(
    out: OutOption,
    only: Annotated[str, typer.Option(help="Rows CORPUS/NAME that match; then no document is written.")] = "*",
    limit: LimitOption = None,
    document: DocumentOption = HERE.parent / "STUDY.md",
    chosen: ChosenOption = HERE / "chosen.json",
    kept: KeptOption = HERE / "corpora",
    data_dir: DataOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Train and judge every router of the study; write tables and choices. Running it again goes on."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.study.commands import StudyFiles, run_study  # torch and transformers: seconds
        from router_train.study.runner import StudyRunner
        from search_cluster.tasks.data_dir import resolve_data_dir

        runner = StudyRunner(out, kept=kept, data_dir=resolve_data_dir(data_dir))
        files = StudyFiles(document=document, chosen=chosen)
        run_study(runner, files, only=only, limit=limit, json_output=json_output)


@app.command(epilog="Example: router-train study write --out runs/study")
def write(
    out: OutOption,
    elsewhere: Annotated[bool, typer.Option(help="Judge the chosen routers on other tasks, too.")] = True,
    document: DocumentOption = HERE.parent / "STUDY.md",
    chosen: ChosenOption = HERE / "chosen.json",
    kept: KeptOption = HERE / "corpora",
    data_dir: DataOption = None,
) -> None:
    """Choose among the rows that are finished, and write their tables; nothing else is trained."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.study.commands import StudyFiles, run_write  # torch and transformers: seconds
        from router_train.study.runner import StudyRunner
        from search_cluster.tasks.data_dir import resolve_data_dir

        runner = StudyRunner(out, kept=kept, data_dir=resolve_data_dir(data_dir))
        run_write(runner, StudyFiles(document=document, chosen=chosen), elsewhere=elsewhere)


@app.command(epilog="Example: router-train study check --out runs/study-check")
def check(
    out: Annotated[Path, typer.Option(help="Work folder; an interrupted check goes on in it.")],
    limit: LimitOption = None,
    chosen: ChosenOption = HERE / "chosen.json",
    kept: KeptOption = HERE / "corpora",
    data_dir: DataOption = None,
) -> None:
    """Train the chosen router of each corpus and judge it on the whole test split; print one JSON object."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.study.commands import run_check  # torch and transformers: seconds
        from router_train.study.runner import StudyRunner
        from search_cluster.tasks.data_dir import resolve_data_dir

        run_check(StudyRunner(out, kept=kept, data_dir=resolve_data_dir(data_dir)), chosen, limit=limit)
