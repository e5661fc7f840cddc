"""Rows in a file, so that a fit that goes over them several times needs no memory for them.

A record holds the states of a row at every depth, the token that follows, and the row's weight, all
in float32, which tells token ids below 2^24 apart.

Shapes: S states of a position (L + 1 depths), N rows, D width.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from search_cluster.model.lens.fitting.rows import RowBatch

FLOAT_BYTES = 4


class RowsOnDisk:
    """Every so manieth row of texts; a context manager.

    Args:
        path: the file. What another process wrote into it of the same texts stays good.
        num_states: the number of depths S.
        width: the width D.
        num_rows: the number of rows of all texts.
        most_rows: the largest number of rows that are kept, at even distances.
    """

    def __init__(
        self, path: Path, *, num_states: int, width: int, num_rows: int, most_rows: int
    ) -> None:
        self._shape = (num_states, width)
        self._stride = max(1, -(-num_rows // most_rows))
        self.num_rows = -(-num_rows // self._stride)
        self._record_bytes = FLOAT_BYTES * (num_states * width + 2)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def __enter__(self) -> "RowsOnDisk":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def add(self, first: int, rows: RowBatch, weight_N: Tensor) -> None:
        """Write those of some rows that are kept; to write them again changes nothing.

        Args:
            first: how many rows of the texts come before these.
            rows: the rows.
            weight_N: their weights.
        """
        taken = slice(-first % self._stride, None, self._stride)
        states_NSD = rows.states_SND[:, taken].float().cpu().transpose(0, 1)
        last_N2 = torch.stack([rows.next_N[taken].float(), weight_N[taken]], dim=1)
        record_NF = torch.cat([states_NSD.reshape(len(states_NSD), -1), last_N2], dim=1)
        place = -(-first // self._stride) * self._record_bytes
        content = memoryview(record_NF.contiguous().numpy().tobytes())
        while content:
            written = os.pwrite(self._descriptor, content, place)
            content, place = content[written:], place + written

    def read(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """States ``[S, N, D]``, following tokens and weights of kept rows, by their places."""
        records = [
            np.frombuffer(
                os.pread(self._descriptor, self._record_bytes, index * self._record_bytes),
                dtype=np.float32,
            )
            for index in indices
        ]
        record_NF = torch.from_numpy(np.stack(records))
        states_NSD = record_NF[:, :-2].reshape(-1, *self._shape)
        return states_NSD.transpose(0, 1).contiguous(), record_NF[:, -2].long(), record_NF[:, -1]
