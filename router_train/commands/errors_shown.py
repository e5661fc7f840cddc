"""How commands end: known errors as one line and an exit code, never a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from search_cluster.errors import SearchClusterError, error_line

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns known errors into one line on standard error and exit code 2, Ctrl-C into exit code 130."""
    try:
        yield
    except BrokenPipeError:  # whoever reads the output has seen enough, such as `head`: Click ends quietly
        raise
    except (SearchClusterError, OSError) as error:
        print(error_line(error), file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from error
    except KeyboardInterrupt as error:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error
