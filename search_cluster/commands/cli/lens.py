"""``search-cluster lens``: fit a lens, judge it, show what it reads."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.commands.lens.settings import LensFitConfig, LensShowConfig, LensTextConfig
from search_cluster.commands.push.at_end import push_at_end, require_pushable
from search_cluster.config import SearchConfig
from search_cluster.console import NOTHING_KEPT, print_json
from search_cluster.hub.choice import PushChoice
from search_cluster.hub_spec import FolderKind
from search_cluster.options.commands import command, new_app
from search_cluster.options.groups import Flags, JsonOption, Options, Overrides
from search_cluster.options.hub_folder import FromHub

MODEL_OPTIONS = Overrides(
    of=SearchConfig,
    only=(
        "model", "revision", "dtype", "device", "trust_remote_code", "chat", "data_dir", "seed",
    ),
)  # fmt: skip
LensOption = Annotated[
    str,
    typer.Option(
        help="A folder of lens fit or of tuned-lens, hub:NAME, or logit: the lens without one."
    ),
    FromHub((FolderKind.LENS,), stays=True),
]


@command(
    "fit",
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster lens fit --model demo --text book.txt --out lenses/demo\n"
    "  search-cluster lens fit --model demo --task arc_easy --kind kl --out lenses/kl --json",
)
def lens_fit(
    *,
    flags: Annotated[Flags, MODEL_OPTIONS],
    texts: LensTextConfig,
    settings: LensFitConfig,
    down_weight: Annotated[
        list[str] | None,
        typer.Option(
            help="TOKEN=FACTOR: rows of this token count less, such as ' the=0.001'; may be given "
            "again."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the lens to.")],
    choice: Annotated[PushChoice, Options(without=("include_rows",))],
    json_output: JsonOption = False,
) -> None:
    """Fit a tuned lens: a map per layer from its state to the final one.

    The folder is one that tuned-lens reads. Running it again resumes.
    """
    from rich.console import Console

    from search_cluster.commands.lens.fit import fit
    from search_cluster.console import say
    from search_cluster.report.lens.terminal import print_figures

    require_pushable(choice)
    if not (texts.text or texts.task or texts.self_):
        say("no text is named: the lens is fitted to text that the model writes by itself (--self)")
    result = fit(
        SearchConfig().overridden(flags), texts, settings, down_weight=down_weight or (), out=out
    )
    result |= push_at_end(out, choice, json_output=json_output)
    if json_output:
        print_json(result)
    else:
        print_figures(Console(), result)


@command(
    "eval",
    epilog="Example: search-cluster lens eval --lens lenses/demo --model demo --text other.txt "
    "--json",
    interrupted=NOTHING_KEPT,
)
def lens_eval(
    *,
    lens: LensOption,
    flags: Annotated[Flags, MODEL_OPTIONS],
    texts: Annotated[LensTextConfig, Options(defaults={"tokens": 2048})],
    one_off: Annotated[
        bool,
        typer.Option(
            "--one-off/--no-one-off",
            help="Read with the translators of neighbours, too: what a wrong index costs.",
        ),
    ] = True,
    json_output: JsonOption = False,
) -> None:
    """Judge a lens on text that it was not fitted to, beside the logit lens."""
    from rich.console import Console

    from search_cluster.commands.lens.judge import judge
    from search_cluster.report.lens.terminal import print_figures

    result = judge(SearchConfig().overridden(flags), texts, lens=lens, one_off=one_off)
    if json_output:
        print_json(result)
    else:
        print_figures(Console(), result)


@command(
    "show",
    epilog="\b\n"
    "Examples:\n"
    '  search-cluster lens show --lens logit --model demo --text "The capital of France is"\n'
    "  search-cluster lens show --lens lenses/demo --model demo --task arc_easy --example 3 "
    "--path 0-17,21-29 --html lens.html",
    interrupted=NOTHING_KEPT,
)
def lens_show(
    *,
    lens: LensOption,
    flags: Annotated[Flags, MODEL_OPTIONS],
    shown: LensShowConfig,
    json_output: JsonOption = False,
) -> None:
    """Show what the model would say after each layer of a path, position by position."""
    from rich.console import Console

    from search_cluster.commands.lens.show import read_text
    from search_cluster.report.lens.html import write_lens_page
    from search_cluster.report.lens.terminal import print_readings

    view = read_text(SearchConfig().overridden(flags), shown, lens=lens)
    if shown.html is not None:
        write_lens_page(shown.html, view)
    if json_output:
        print_json({**view.values(), "html": None if shown.html is None else str(shown.html)})
    else:
        print_readings(Console(), view, last=shown.last)


lens = new_app(
    "See what each layer does: fit tuned lenses, judge them, show what they read.",
    *(lens_fit, lens_eval, lens_show),
)
