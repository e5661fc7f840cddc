"""An unfinished fit on disk: what is done so far, for the same command to go on from."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from search_cluster.files import replaced_whole

Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""
PASSES_VERSION = 2
"""Changes whenever the same texts would be passed through otherwise: how many of them are done
means something else then. (1: a row for each text, whatever its beginning.)"""
KEPT_EVERY_S = 20.0
"""The seconds between two writes, at least, unless somebody asks otherwise."""
WRITE_SHARE = 0.05
"""The share of the time that writing may take."""


class UnfinishedFit:
    """The file that a fit keeps its state in, written whole.

    Args:
        path: the file.
        inputs: all that the result depends on; a file of other inputs is not gone on from.
        pause_s: the seconds between two writes, at least; 0: write every time; ``None``: the usual.
    """

    def __init__(
        self, path: Path, inputs: Mapping[str, Any], *, pause_s: float | None = None
    ) -> None:
        self._path = path
        content = json.dumps({"passes": PASSES_VERSION, "inputs": inputs}, sort_keys=True)
        self._key = hashlib.sha256(content.encode()).hexdigest()
        self._pause_s = KEPT_EVERY_S if pause_s is None else pause_s
        self._written_s = time.monotonic()
        self._took_s = 0.0

    def read(self) -> tuple[int, dict[str, Tensor]]:
        """How many steps are done and the state after them; 0 and nothing at the start.

        A file of other inputs, or one that can't be read, is as none.
        """
        if not self._path.is_file():
            return 0, {}
        try:
            with safe_open(self._path, framework="pt") as stream:
                said = stream.metadata() or {}
                if said.get("key") != self._key:
                    return 0, {}
                return int(said["done"]), {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, KeyError, ValueError):
            return 0, {}

    def keep(self, done: int, state: Mapping[str, Tensor], *, now: bool = False) -> None:
        """Write the state if it is time to.

        Args:
            done: the number of steps that the state comes after.
            state: tensors by name.
            now: write it in any case.

        Raises:
            CorpusError: the operating system refused.
        """
        started_s = time.monotonic()
        pause_s = self._pause_s and max(self._pause_s, self._took_s / WRITE_SHARE)
        if not now and started_s - self._written_s < pause_s:
            return
        with replaced_whole(self._path) as temporary:
            metadata = {"key": self._key, "done": str(done)}
            tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
            save_file(tensors, temporary, metadata=metadata)
        self._written_s = time.monotonic()
        self._took_s = self._written_s - started_s

    def remove(self) -> None:
        """Take the file away: the fit is finished."""
        self._path.unlink(missing_ok=True)
