"""The program ``router-train``: its commands, and where it starts.

What each command takes stands in `router_train.commands.cli` and `router_train.study.cli`. The
work, and everything heavy, is imported inside the commands, so that ``--help`` answers at once.
"""

from router_train.commands.cli.bench import bench
from router_train.commands.cli.evaluate import evaluate
from router_train.commands.cli.exits import exits
from router_train.commands.cli.export import export
from router_train.commands.cli.fit import fit
from router_train.commands.cli.generate import generate
from router_train.commands.cli.lm_eval import lm_eval
from router_train.commands.cli.push import push
from router_train.commands.cli.static import static
from router_train.study.cli import study
from search_cluster.console import run_app
from search_cluster.options.commands import new_program

app = new_program(
    "Train routers on a corpus of layer paths, and run and judge the routed model.",
    fit, static, evaluate, generate, exits, bench, export, push, lm_eval,
)  # fmt: skip
app.add_typer(study, name="study")


def main() -> None:
    """Entry point of the console script."""
    run_app(app)


if __name__ == "__main__":
    main()
