"""How commands of both programs speak and end: results, progress, one-line errors, exit codes.

Results go to standard output, for people or as one JSON object on its last line; progress, warnings
and errors go to standard error. Known errors end as one line, never as a traceback.
"""

import io
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from search_cluster.errors import SearchClusterError, error_line
from search_cluster.extras import install_command
from search_cluster.machine import homeless_line, is_homeless, limit_arithmetic_threads, name_user

PROGRESS_INTERVAL_S = 5.0
"""The time between two lines of progress where there is no terminal, in seconds."""
SHORT_S = 2.0
"""What ends sooner says nothing of its progress there."""
Item = TypeVar("Item")

EXIT_DIFFERENCE = 1
"""``verify`` found a verdict that differs."""
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

RESUMABLE = "nothing found is lost: run the same command again to go on"
TRAINING_RESUMES = "run the same command again to go on"
NOTHING_KEPT = "this benchmark keeps nothing"
PUSH_AGAIN = "nothing is half pushed: run the same command again"
VERDICTS_KEPT = "the verdicts are kept: run the same command again to go on"


def run_app(app: typer.Typer) -> None:
    """Run a program's command line; what its library logs goes to standard error."""
    limit_arithmetic_threads()
    if not sys.stderr.isatty():  # libraries of others would fill a log with their bars
        os.environ.setdefault("TQDM_DISABLE", "1")
    name_user()
    # Only our logger: those of other libraries have handlers and would say everything twice.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("search_cluster").addHandler(handler)
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # a question or a folder may hold what the terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    app()


@contextmanager
def one_line_errors(interrupted: str = RESUMABLE) -> Iterator[None]:
    """End known errors as one line and exit code 2, and Ctrl-C and SIGTERM as exit code 130.

    Args:
        interrupted: what an interrupt leaves behind, in words.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except (
        BrokenPipeError
    ):  # whoever reads the output has seen enough, such as `head`: Click ends quietly
        raise
    except (SearchClusterError, OSError) as error:
        print(error_line(error), file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from error
    except ModuleNotFoundError as error:
        advice = "`search-cluster doctor` lists what else is missing"
        print(
            f"error: the package {error.name} is not installed: {install_command('search')}; "
            f"{advice}",
            file=sys.stderr,
        )
        raise typer.Exit(EXIT_ERROR) from error
    except (RuntimeError, KeyError) as error:
        if not is_homeless(error):
            raise
        print(f"error: {homeless_line()}", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from error
    except KeyboardInterrupt as error:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error


def say(text: str) -> None:
    """Print a text for people on standard error."""
    print(text, file=sys.stderr, flush=True)


def show(text: str, *, json_output: bool) -> None:
    """Print a result for people: on standard output, unless ``json_output`` keeps that for JSON."""
    print(text, file=sys.stderr if json_output else sys.stdout, flush=True)


def left_text(seconds: float) -> str:
    """How long it may take yet, as coarse as one reads it."""
    if seconds < 120:
        return f"about {seconds:.0f} s left"
    return (
        f"about {seconds / 60:.0f} min left"
        if seconds < 7200
        else f"about {seconds / 3600:.1f} h left"
    )


def track(
    items: Sequence[Item], description: str, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Item]:
    """Yield the items, and show on standard error how many are done and how long the rest takes.

    On a terminal there is a bar. Elsewhere (log files, jobs) there is a line now and then, and
    nothing of what takes less than two seconds.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(items, description=description, console=Console(stderr=True))
        return
    started_s = said_s = clock()
    for number, item in enumerate(items, start=1):
        yield item
        now_s = clock()
        is_last = number == len(items)
        if now_s - said_s >= PROGRESS_INTERVAL_S or (is_last and now_s - started_s >= SHORT_S):
            said_s = now_s
            left_s = (now_s - started_s) / number * (len(items) - number)
            say(
                f"{description}: {number}/{len(items)}{'' if is_last else f', {left_text(left_s)}'}"
            )


def print_values(values: Mapping[str, Any], *, json_output: bool) -> None:
    """Print a result as one JSON object, or as a line per value."""
    if json_output:
        print_json(values)
    else:
        for key, value in values.items():
            print(f"{key}: {value}")


def print_json(value: Mapping[str, Any]) -> None:
    """Print the last line of standard output."""
    sys.stderr.flush()
    print(json.dumps(value), flush=True)
