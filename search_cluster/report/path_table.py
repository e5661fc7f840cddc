"""The table that ends a cross-execution on a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from search_cluster.paths.words import path_words


def print_path_table(console: Console, result: Mapping[str, Any]) -> None:
    """Print what ``crossexec --json`` says: a line for each path, and what the table cost.

    Args:
        console: where to print.
        result: what `search_cluster.commands.crossexec.cross_execute` gave.
    """
    table = Table(
        title=f"{len(result['menu'])} paths on {result['examples']:,} questions",
        title_justify="left",
    )
    table.add_column("path", overflow="fold")
    for name in ("layers", "right", "95 % interval", "any right", "mean layers"):
        table.add_column(name, justify="right")
    for item in result["menu"]:
        table.add_row(
            item["path"],
            str(item["layers"]),
            f"{item['accuracy']:.1%}",
            f"{item['accuracy_low']:.1%} to {item['accuracy_high']:.1%}",
            f"{item['any_right']:.1%}",
            f"{item['mean_layers']:.1f}",
        )
    console.print(table)
    console.print(path_words(result["menu"][0]["layers"]), highlight=False)
    console.print(
        "any right: it or one above it is (gold answers known); mean layers: of the shortest "
        "right one so far.\nAll on the questions that chose the menu: on others expect less.",
        highlight=False,
    )
    if len(result["menu"]) < result["menu_size"]:
        console.print(
            "The corpus holds no further path that would add a right answer or save a layer.",
            soft_wrap=True,
        )
    console.print(
        f"{result['verdicts']:,} verdicts, {result['cache_hits']:,} of them cached; "
        f"{result['failures']:,} failures: {result['menu_file']}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
