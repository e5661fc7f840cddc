"""How commands end: known errors as one line and an exit code, never a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from search_cluster.errors import SearchClusterError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
CHECK_THE_PATH = "check this path, its permissions and the free space"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns known errors into one line on standard error and exit code 2, Ctrl-C into exit code 130."""
    try:
        yield
    except (SearchClusterError, OSError) as error:
        next_step = f"; {CHECK_THE_PATH}" if isinstance(error, OSError) and error.filename else ""
        print(f"error: {' '.join(str(error).split())}{next_step}", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from error
    except KeyboardInterrupt as error:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error
