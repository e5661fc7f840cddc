"""The parts of a study on disk: each is written whole, so that a study goes on where it ended."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from search_cluster.errors import ConfigError
from search_cluster.files import replaced_whole, write_text_whole
from search_cluster.model.depth_states.tables import AnyArray

PLAN_NAME = "plan.json"
PARTS_NAME = "parts"
Arrays = Mapping[str, AnyArray]


class PartStore:
    """Arrays of a study by the name of their part; one process writes.

    Args:
        folder: the study's folder.
        plan: all that its parts depend on, ready for JSON.

    Raises:
        ConfigError: the folder holds parts of another plan.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self._folder = folder / PARTS_NAME
        self.num_made = 0
        path = folder / PLAN_NAME
        wanted = json.loads(json.dumps(plan))
        if path.is_file():
            found = _read_plan(path)
            changed = [key for key in wanted | found if found.get(key) != wanted.get(key)]
            if changed:
                raise ConfigError(
                    f"{folder} was begun with {changed[0]} {found.get(changed[0])!r}, and is now "
                    f"asked for {wanted.get(changed[0])!r}; run the former command, or name a new "
                    "folder with --out"
                )
        else:
            write_text_whole(path, json.dumps(wanted, indent=2) + "\n")

    def arrays(self, name: str, make: Callable[[], Arrays]) -> dict[str, AnyArray]:
        """The arrays of a part, made if they are not there.

        Raises:
            CorpusError: the operating system refused.
        """
        path = self._path(name)
        if path.is_file():
            try:
                # Opened here, because numpy leaves a damaged file open.
                with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
                    return {key: found[key] for key in found.files}
            except (OSError, ValueError, zipfile.BadZipFile):
                path.unlink()  # damaged from outside: it is made again
        arrays = dict(make())
        self.num_made += 1
        with replaced_whole(path) as temporary, temporary.open("wb") as target:
            np.savez(target, **arrays)  # type: ignore[arg-type]
        return arrays

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged ({error}); remove the folder, or name a new one with --out"
        ) from error
    if not isinstance(plan, dict):
        raise ConfigError(f"{path} is no plan of a study; name a new folder with --out")
    return plan
