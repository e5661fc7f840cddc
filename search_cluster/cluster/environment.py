"""Environment variables that Ray reads when it is imported.

So this module must not import it, and runs before whatever does.
"""

import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def prepare_ray_environment(mode: str) -> None:
    """Set what Ray needs in this process's environment; what the user has set stays.

    Ray binds its ports to all interfaces whatever address it is given, so a private cluster (mode
    ``local``) gets a random token: without it nobody can submit work. The token lives in the
    environment of this process tree only; Ray's own default would write one into the user's home
    folder.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if mode == "local" and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def prepare_job_environment() -> bool:
    """Set what a client of a cluster's job server needs; whether it will send a token.

    A mode that the user has set stays. Without one a token is sent if there is one: Ray's own
    default sends none, and is refused by every cluster that asks for one.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - the other one raises where there is none
    has_token = bool(named) or (home / ".ray" / "auth_token").is_file()
    return os.environ.setdefault("RAY_AUTH_MODE", "token" if has_token else "disabled") == "token"


@contextmanager
def keep_termination_handler() -> Iterator[None]:
    """What happens on SIGTERM stays as it is while Ray is imported and connected to.

    Ray takes the signal for itself, and its handler aborts the process three seconds later,
    whatever that is doing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
