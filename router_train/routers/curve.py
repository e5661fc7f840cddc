"""The training curve, as JSON lines and as TensorBoard events.

The events need tensorboardX; the lines are always written.
"""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from router_train.distributed import current_process_group

TENSORBOARD_FOLDER = "tensorboard"


class CurveWriter:
    """A writer of one row per epoch; a context manager that owns its files.

    An older curve is replaced.

    Of the processes of a group the first one writes.
    """

    def __init__(self, file: Path) -> None:
        self._board = None
        if not current_process_group().leads:
            self._stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (closed on exit)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open("w", encoding="utf-8")
        self._board = _open_board(file.parent / TENSORBOARD_FOLDER)

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row; ``row["epoch"]`` is its step."""
        self._stream.write(json.dumps(dict(row)) + "\n")
        self._stream.flush()
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, row["epoch"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        if self._board is not None:
            self._board.close()


def read_curve(file: Path) -> list[dict[str, float]]:
    """The rows of a curve; none of a router that was trained without epochs."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _open_board(folder: Path) -> Any:
    if find_spec("tensorboardX") is None:
        return None
    from tensorboardX import SummaryWriter  # an optional extra

    return SummaryWriter(str(folder))
