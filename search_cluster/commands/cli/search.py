"""``search-cluster search``: its options are the settings of a search."""

from typing import Annotated

from search_cluster.commands.push.at_end import push_at_end, require_pushable
from search_cluster.config import SearchConfig, read_config
from search_cluster.console import print_json
from search_cluster.hub.choice import PushChoice
from search_cluster.options.commands import command
from search_cluster.options.groups import ConfigOption, Flags, JsonOption, Overrides


@command(
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster search --model demo --task capitals --limit 50 --run runs/first\n"
    "  search-cluster search --config deploy/runs/capitals.toml --json\n"
    "  search-cluster search --model org/name --task arc_easy --redis-url redis://cache:6380/0 "
    "--run runs/arc"
)
def search(
    *,
    config: ConfigOption = None,
    flags: Annotated[Flags, Overrides(of=SearchConfig)],
    choice: PushChoice,
    json_output: JsonOption = False,
) -> None:
    """Search layer paths for a task's questions and write the corpus; running it again resumes."""
    from search_cluster.commands.report import print_run
    from search_cluster.commands.search import run_search  # the rooms: a second

    require_pushable(choice)
    settings = (SearchConfig() if config is None else read_config(config)).overridden(flags)
    result = run_search(settings)
    result |= push_at_end(settings.run, choice, json_output=json_output)
    if json_output:
        print_json(result)
        return
    print_run(settings.run, with_notes=False)
    if result["verdicts_waiting"]:
        print(f"verdicts that the cache server did not take yet: {result['verdicts_waiting']}")
