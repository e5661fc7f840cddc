"""``search-cluster bridge``: maps that stand for the layers which a path leaves out."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.bridged_spec import BridgeKind
from search_cluster.commands.push.at_end import push_at_end, require_pushable
from search_cluster.config import SearchConfig
from search_cluster.console import TRAINING_RESUMES, print_values
from search_cluster.hub.choice import PushChoice
from search_cluster.options.commands import command
from search_cluster.options.groups import Flags, JsonOption, Options, Overrides

OPTIONS = Overrides(
    of=SearchConfig,
    only=(
        "model", "revision", "dtype", "device", "trust_remote_code", "chat", "data_dir", "seed",
    ),
)  # fmt: skip


@command(
    "fit",
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster bridge fit --path 0-17,21-24,26-29 --text wiki.txt --out runs/bridges\n"
    "  search-cluster bridge fit --jump 16:20 --jump 24:26 --task arc_easy --out runs/arc --json\n"
    "  search-cluster bridge fit --path 0-17,21-29 --kind distilled --task arc_easy "
    "--tokens 20000 --out runs/distilled",
    interrupted=TRAINING_RESUMES,
)
def bridge_fit(
    *,
    path: Annotated[
        list[str] | None,
        typer.Option(
            help="A path whose left out layers get bridges, such as 0-17,21-29; may be given again."
        ),
    ] = None,
    jump: Annotated[
        list[str] | None,
        typer.Option(
            help="A jump, from the layer before it to the one behind it, such as 16:20; may be "
            "given again."
        ),
    ] = None,
    text: Annotated[Path | None, typer.Option(help="Fit to a plain text file.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Fit to a task's training prompts with their choices.")
    ] = None,
    own: Annotated[
        bool, typer.Option("--self", help="Fit to text that the model writes itself.")
    ] = False,
    kind: Annotated[
        BridgeKind, typer.Option(help="What the maps may do to a state.")
    ] = BridgeKind.LINEAR,
    epochs: Annotated[
        int, typer.Option(min=1, help="How often distilled maps see each text, at most.")
    ] = 4,
    rate: Annotated[
        float, typer.Option(min=1e-9, help="The rate at which distilled maps are trained.")
    ] = 1e-3,
    tokens: Annotated[
        int, typer.Option(min=2, help="Tokens to fit to; a tenth of the texts is held out.")
    ] = 100_000,
    judge_text: Annotated[
        Path | None,
        typer.Option(
            help="Judge by a text file of its own.", show_default="what the fit holds out"
        ),
    ] = None,
    judge_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens to judge by, at most, each BOS included.")
    ] = 20_000,
    out: Annotated[Path, typer.Option(help="Folder of the bridges.")],
    flags: Annotated[Flags, OPTIONS],
    choice: Annotated[PushChoice, Options(without=("include_rows",))],
    json_output: JsonOption = False,
) -> None:
    """Fit maps from before to behind skipped layers, on unlabelled text.

    They are found in closed form; --kind distilled then trains them through the layers behind
    them, to bring what the path says nearer to what the full model says. Give the folder as
    --bridges to search, scan, verify and router-train: paths cross its maps where they leave out
    layers. The figures say how far the path is from the full model on text that was held out, with
    the bridges, without, and with simpler maps.
    """
    from search_cluster.commands.bridge.fit import fit_bridge_set
    from search_cluster.commands.bridge.texts import TextChoice
    from search_cluster.model.bridge.distilling import DistillationSettings

    require_pushable(choice)
    config = SearchConfig().overridden(flags)
    result = fit_bridge_set(
        config,
        TextChoice(
            text=text,
            task=task,
            own=own,
            num_tokens=tokens,
            judge_text=judge_text,
            judge_tokens=judge_tokens,
        ),
        paths=path or (),
        jumps=jump or (),
        kind=kind,
        out=out,
        distillation=DistillationSettings(num_epochs=epochs, rate=rate, seed=config.seed),
    )
    result |= push_at_end(out, choice, json_output=json_output)
    print_values(result, json_output=json_output)
