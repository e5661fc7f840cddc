"""``router-train push``: a trained router on the hub."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import PUSH_AGAIN, print_json, show
from search_cluster.hub.choice import PushChoice
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption, Options, ToOption


@command(
    epilog="Example: router-train push runs/mine/routers/drllm --to org/mine-drllm",
    interrupted=PUSH_AGAIN,
)
def push(
    *,
    folder: Annotated[
        Path, typer.Argument(metavar="ROUTER", help="Folder that 'fit' or 'static' wrote.")
    ],
    to: ToOption,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="JSON of 'evaluate --out' for the card.", show_default="the run's"),
    ] = None,
    choice: Annotated[PushChoice, Options(without=("push_to_hub",))],
    json_output: JsonOption = False,
) -> None:
    """Put a trained router on the hub, with a card that says what was measured and how.

    It is then read as hub:ORG/NAME wherever a router's folder stands. The model is not pushed.
    """
    from router_train.export.publish import push_router  # torch and transformers: seconds

    done = push_router(folder, replace(choice, push_to_hub=to), evaluations=evaluation or ())
    if json_output:
        print_json(done)
    else:
        show(f"{folder} is on the hub: {done['address']} at {done['commit']}", json_output=False)
