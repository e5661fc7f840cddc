"""Pushing what a command made, where ``--push-to-hub`` asks for it.

Nothing heavy is imported before something is pushed.
"""

from pathlib import Path
from typing import Any

from search_cluster.console import show
from search_cluster.hub.choice import PushChoice


def require_pushable(choice: PushChoice) -> None:
    """Pass, before any work is done, if nothing is pushed or there is a token.

    Raises:
        ConfigError: there is none.
    """
    if choice.is_asked:
        from search_cluster.hub.push import require_token  # huggingface_hub

        require_token(choice)


def push_at_end(folder: Path, choice: PushChoice, *, json_output: bool) -> dict[str, Any]:
    """What a command adds to its result: ``hub``, if a push was asked for, else nothing.

    Raises:
        SearchClusterError: it can't be pushed; the folder is complete.
    """
    if not choice.is_asked:
        return {}
    from search_cluster.commands.push.run import push  # the rooms: a second

    done = push(folder, choice)
    show(f"on the hub: {done['address']} at {done['commit']}", json_output=json_output)
    return {"hub": done}
