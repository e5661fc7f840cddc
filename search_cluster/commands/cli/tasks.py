"""``search-cluster tasks``: the tasks that there are, one question of a task, and its check."""

from typing import Annotated

import typer

from search_cluster.config import SearchConfig
from search_cluster.console import EXIT_DIFFERENCE, NOTHING_KEPT, print_json
from search_cluster.options.commands import command, new_group
from search_cluster.options.groups import Flags, JsonOption, Overrides
from search_cluster.options.task_source import TASK_METAVAR

OPTIONS = Overrides(
    of=SearchConfig, only=("revision", "device", "dtype", "trust_remote_code", "chat", "data_dir")
)
TaskArgument = Annotated[
    str,
    typer.Argument(metavar=TASK_METAVAR, help="A name, a file, lm-eval:NAME or hub:NAME."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="The model whose tokens are shown.", show_default="none: texts only"),
]
WAYS = (
    "lm-eval:NAME            any task of EleutherAI's harness that has right answers",
    "hub:ORGANISATION/NAME   a data set of the hub, its columns named by --field",
    "FILE                    .toml, .py, .yaml of the harness, or rows: .jsonl .json .csv .parquet",
)
"""What may stand where a name does."""


@command("list", epilog="Example: search-cluster tasks list --json")
def tasks_list(json_output: JsonOption = False) -> None:
    """List the tasks that have a name: what they ask and how answers are graded."""
    _list(json_output=json_output)


@command(
    "tasks",
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster tasks\n"
    "  search-cluster tasks show elements --example 3\n"
    "  search-cluster tasks check rivers.toml --json",
)
def tasks_root(json_output: JsonOption = False) -> None:
    """List the tasks, show one question of a task, or check a task.

    Without a command of its own, it lists them.
    """
    _list(json_output=json_output)


def _list(*, json_output: bool) -> None:
    from search_cluster.tasks.registry import list_tasks

    rows = [
        {
            "name": task.name,
            "kind": task.kind.value,
            "version": task.version,
            "description": task.description,
        }
        for task in list_tasks()
    ]
    if json_output:
        print_json({"tasks": rows})
        return
    for row in rows:
        print(f"{row['name']:<22} {row['kind']:<9} {row['description']}")
    print("\nOther tasks, wherever a name stands:")
    for way in WAYS:
        print(f"  {way}")
    print("See one with: search-cluster tasks show elements")


@command(
    "show",
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster tasks show elements --example 3 --model demo\n"
    "  search-cluster tasks show lm-eval:arc_easy --num-fewshot 2 --split test\n"
    "  search-cluster tasks show rows.jsonl --field question='{{title}}: {{q}}' --field answer=a",
    interrupted=NOTHING_KEPT,
)
def tasks_show(
    *,
    task: TaskArgument,
    example: Annotated[
        int, typer.Option(min=0, help="The number of the question in its split, from 0.")
    ] = 0,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test.", show_default="the first that there is"),
    ] = None,
    model: ModelOption = None,
    flags: Annotated[Flags, OPTIONS],
    json_output: JsonOption = False,
) -> None:
    """Show a question as the model sees it: prompt, choices, tokens and the right answer."""
    from search_cluster.commands.tasks.show import show_question, shown_lines

    config = SearchConfig().overridden({**flags, "model": model})
    shown = show_question(task, config, split=split, number=example, with_model=model is not None)
    if json_output:
        print_json(shown)
    else:
        print("\n".join(shown_lines(shown)))


@command(
    "check",
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster tasks check rivers.toml\n"
    "  search-cluster tasks check lm-eval:my_task --include-path tasks --model demo --json",
    interrupted=NOTHING_KEPT,
)
def tasks_check(
    *,
    task: TaskArgument,
    model: ModelOption = None,
    flags: Annotated[Flags, OPTIONS],
    json_output: JsonOption = False,
) -> None:
    """Check every question of every split; exit code 1 if there is a problem.

    Looked for are rows that can't be used, empty prompts, equal choices, right answers that are out
    of range or that the grader does not accept, and questions of two splits. With --model, also
    prompts that are too long or that its tokenizer can't tell apart.
    """
    from search_cluster.commands.tasks.check import check_task, checked_lines

    config = SearchConfig().overridden({**flags, "model": model})
    checked = check_task(task, config, with_model=model is not None)
    if json_output:
        print_json(checked)
    else:
        print("\n".join(checked_lines(checked)))
    if not checked["ok"]:
        raise typer.Exit(EXIT_DIFFERENCE)


tasks = new_group(tasks_root, tasks_list, tasks_show, tasks_check)
