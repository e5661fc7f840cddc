"""``search-cluster push``: a finished folder on the hub."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import PUSH_AGAIN, print_json, show
from search_cluster.hub.choice import PushChoice
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption, Options, ToOption


@command(
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster push runs/scan --to org/elements-scan\n"
    "  search-cluster push lenses/demo --to org/lens --public --licence apache-2.0",
    interrupted=PUSH_AGAIN,
)
def push(
    *,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A finished corpus, scan or study, a lens, bridges."),
    ],
    to: ToOption,
    choice: Annotated[PushChoice, Options(without=("push_to_hub",))],
    json_output: JsonOption = False,
) -> None:
    """Put a finished folder on the hub, with a card that says what was measured and how.

    What makes up its kind is pushed, and nothing else: no caches, no logs, no rows of a task of
    your own. It is then read as hub:ORG/NAME wherever such a folder stands.
    """
    from search_cluster.commands.push.run import push as push_to  # torch: seconds

    done = push_to(folder, replace(choice, push_to_hub=to))
    if json_output:
        print_json(done)
    else:
        show(f"{folder} is on the hub: {done['address']} at {done['commit']}", json_output=False)
