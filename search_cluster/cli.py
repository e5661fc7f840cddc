"""The program ``search-cluster``: its commands, and where it starts.

What each command takes and prints stands in the ``cli`` of its room. Everything heavy is imported
inside the commands that need it, so that ``--help`` answers at once.
"""

from search_cluster.bench.cli import bench
from search_cluster.commands.cli.bridge import bridge_fit
from search_cluster.commands.cli.crossexec import crossexec
from search_cluster.commands.cli.depth import depth
from search_cluster.commands.cli.export import export
from search_cluster.commands.cli.lens import lens
from search_cluster.commands.cli.machine import doctor
from search_cluster.commands.cli.push import push
from search_cluster.commands.cli.report import report, status
from search_cluster.commands.cli.scan import scan
from search_cluster.commands.cli.scan_export import scan_export
from search_cluster.commands.cli.scan_judge import scan_judge
from search_cluster.commands.cli.search import search
from search_cluster.commands.cli.submit import submit
from search_cluster.commands.cli.tasks import tasks
from search_cluster.commands.cli.verify import verify
from search_cluster.console import run_app
from search_cluster.dashboard.cli import dashboard, top, tree
from search_cluster.options.commands import new_app, new_group, new_program

app = new_program(
    "Search the layer paths of a frozen LLM: skip or repeat layers per question, find shorter "
    "right paths.",
    search, submit, status, report, export, push, crossexec, depth, doctor, verify, dashboard, top,
    tree,
)  # fmt: skip
app.add_typer(new_group(scan, scan_export, scan_judge), name="scan")
app.add_typer(
    new_app("Maps that stand for the layers which a path leaves out.", bridge_fit), name="bridge"
)
app.add_typer(lens, name="lens")
app.add_typer(tasks, name="tasks")
app.add_typer(bench, name="bench")


def main() -> None:
    """Entry point of the console script."""
    run_app(app)


if __name__ == "__main__":
    main()
