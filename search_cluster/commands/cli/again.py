"""Options of commands that run a corpus' model once more."""

from typing import Annotated

import typer

ModelOption = Annotated[
    str | None, typer.Option(help="Where the model is now.", show_default="where the corpus says")
]
TaskOption = Annotated[
    str | None, typer.Option(help="The task's file, if its name alone does not find it.")
]
