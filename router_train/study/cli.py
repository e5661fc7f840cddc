"""The command group ``router-train study``: its options. The work is in `commands`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_train.study.files import StudyFiles
from search_cluster.console import TRAINING_RESUMES
from search_cluster.options.commands import command, new_app
from search_cluster.options.groups import JsonOption, Options
from search_cluster.tasks.data_dir import resolve_data_dir

if TYPE_CHECKING:
    from router_train.study.runner import StudyRunner

OutOption = Annotated[
    Path, typer.Option(help="Work folder; finished rows in it are not computed again.")
]
DataOption = Annotated[
    Path | None, typer.Option(help="Local benchmark files.", show_default="LPS_DATA_DIR")
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Largest number of questions per split, for trying things out.",
        show_default="all",
    ),
]


@command(
    epilog="Example: router-train study keep runs/arc_easy --name arc_easy",
    interrupted=TRAINING_RESUMES,
)
def keep(
    *,
    corpus: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished corpus.")],
    name: Annotated[str, typer.Option(help="The kept corpus' name; one of that name is replaced.")],
    files: Annotated[StudyFiles, Options(without=("document", "chosen"))],
    json_output: JsonOption = False,
) -> None:
    """Keep a corpus and its menu's table without texts: ids, paths and verdicts."""
    from router_train.study.commands import run_keep  # torch and transformers: seconds

    run_keep(corpus, files.kept, name, json_output=json_output)


@command(
    epilog="Example: router-train study run --out runs/study --only 'elements/static*'",
    interrupted=TRAINING_RESUMES,
)
def run(
    *,
    out: OutOption,
    only: Annotated[
        str, typer.Option(help="Rows CORPUS/NAME that match; then no document is written.")
    ] = "*",
    limit: LimitOption = None,
    files: StudyFiles,
    data_dir: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train and judge every router of the study; write tables and choices. A second run goes on."""
    from router_train.study.commands import run_study  # torch and transformers: seconds

    runner = _runner(out, files, data_dir)
    run_study(runner, files, only=only, limit=limit, json_output=json_output)


@command(epilog="Example: router-train study write --out runs/study", interrupted=TRAINING_RESUMES)
def write(
    *,
    out: OutOption,
    elsewhere: Annotated[
        bool, typer.Option(help="Judge the chosen routers on other tasks, too.")
    ] = True,
    files: StudyFiles,
    data_dir: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Choose among the rows that are finished, and write their tables; nothing else is trained."""
    from router_train.study.commands import run_write  # torch and transformers: seconds

    run_write(_runner(out, files, data_dir), files, elsewhere=elsewhere, json_output=json_output)


@command(
    epilog="Example: router-train study check --out runs/study-check", interrupted=TRAINING_RESUMES
)
def check(
    *,
    out: Annotated[Path, typer.Option(help="Work folder; an interrupted check goes on in it.")],
    limit: LimitOption = None,
    files: Annotated[StudyFiles, Options(without=("document",))],
    data_dir: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train each corpus' chosen router and judge it on the whole test split."""
    from router_train.study.commands import run_check  # torch and transformers: seconds

    runner = _runner(out, files, data_dir)
    run_check(runner, files.chosen, limit=limit, json_output=json_output)


def _runner(out: Path, files: StudyFiles, data_dir: Path | None) -> "StudyRunner":
    from router_train.study.runner import StudyRunner

    return StudyRunner(out, kept=files.kept, data_dir=resolve_data_dir(data_dir))


study = new_app(
    "Compare all routers on kept corpora, and check the best of them.", keep, run, write, check
)
