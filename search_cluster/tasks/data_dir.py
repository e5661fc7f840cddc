"""Where local data files lie: a flag, else ``LPS_DATA_DIR``, else nowhere."""

import os
from pathlib import Path

from search_cluster.errors import TaskError

DATA_DIR_VARIABLE = "LPS_DATA_DIR"
"""The environment variable that names a folder of local data files."""


def resolve_data_dir(flag: Path | None) -> Path | None:
    """The folder of local data files, or ``None`` for the hub.

    The flag comes first, then ``LPS_DATA_DIR`` if it is set and not empty.

    Raises:
        TaskError: the named folder does not exist.
    """
    variable = os.environ.get(DATA_DIR_VARIABLE, "")
    if flag is None and not variable:
        return None
    folder = Path(variable) if flag is None else flag
    named_by = DATA_DIR_VARIABLE if flag is None else "--data-dir"
    if not folder.is_dir():
        raise TaskError(
            f"{named_by} is {folder}, which is not a folder; name one, or leave it out to use the "
            "hub"
        )
    return folder.absolute()
