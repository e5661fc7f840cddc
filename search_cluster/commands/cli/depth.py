"""``search-cluster depth``: what each layer does, by lenses and by execution."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.commands.push.at_end import push_at_end, require_pushable
from search_cluster.config import SearchConfig
from search_cluster.console import print_json, show
from search_cluster.depth.settings import DepthSettings
from search_cluster.hub.choice import PushChoice
from search_cluster.hub_spec import FolderKind
from search_cluster.options.commands import command
from search_cluster.options.groups import Flags, JsonOption, Overrides
from search_cluster.options.hub_folder import FromHub

DEFAULT_OUT = Path("runs/depth")
READ_IS_KEPT = "what was read is kept: run the same command again to go on"
OPTIONS = Overrides(
    of=SearchConfig,
    only=(
        "model", "revision", "dtype", "device", "trust_remote_code", "chat", "data_dir", "split",
        "seed",
    ),
)  # fmt: skip


@command(
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster depth --model demo --task elements --out runs/depth\n"
    "  search-cluster depth --model demo --task runs/scan --text corpus.txt --pos en.conllu "
    "--facts known_1000.json --out runs/depth --json",
    interrupted=READ_IS_KEPT,
)
def depth(
    *,
    task: Annotated[
        str,
        typer.Option(
            metavar="TASK|DIR",
            help="A task by name or file, or a run folder, whose task and best paths are studied.",
        ),
    ],
    lens: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|logit",
            help="A lens' folder, hub:NAME, or logit for the logit lens alone.",
            show_default="a quick one, fitted here",
        ),
        FromHub((FolderKind.LENS,), stays=True),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="A plain text file.", show_default="the task's prompts"),
    ] = None,
    pos: Annotated[Path | None, typer.Option(help="A CoNLL-U file with gold word classes.")] = None,
    facts: Annotated[
        Path | None,
        typer.Option(help='A JSON list of {"prompt": ..., "attribute": ...}.'),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="A layer path to look at, such as 0-17,21-29; may be given again."),
    ] = None,
    patch: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="A task of other options, whose states are put into runs of the studied one.",
        ),
    ] = None,
    settings: DepthSettings,
    out: Annotated[
        Path,
        typer.Option(help="Folder of the study. The same command on the same folder resumes."),
    ] = DEFAULT_OUT,
    flags: Annotated[Flags, OPTIONS],
    choice: PushChoice,
    json_output: JsonOption = False,
) -> None:
    """Study the depth of a model: what is guessed where, when answers are settled, what layers do.

    Every state is read by the logit lens and by a tuned one, and checked by running layer paths.
    Questions are of train unless --split says otherwise. Writes depth.json, rows.parquet and
    report.html.
    """
    from search_cluster.commands.depth.asked import StudyRequest
    from search_cluster.commands.depth.run import run_depth

    require_pushable(choice)
    done = run_depth(
        StudyRequest(
            config=SearchConfig().overridden(flags),
            settings=settings,
            task=task,
            lens=lens,
            text=text,
            pos=pos,
            facts=facts,
            paths=path or (),
            out=out,
            patch=patch,
        )
    )
    done |= push_at_end(out, choice, json_output=json_output)
    if json_output:
        print_json(done)
    else:
        for line in done["found"]:
            show(line, json_output=False)
        show(f"\nreport: {done['report']}", json_output=False)
