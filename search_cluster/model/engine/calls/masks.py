"""The masks of segments that start from nothing, made once for each shape.

Shapes: S segments, R rows of a segment, L keys.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search_cluster.model.engine.token_tree import RowSet
from search_cluster.model.memory_plan import MASK_BYTES


class Masks:
    """The additive masks of blocks, made once for each shape as long as there is room for them.

    Args:
        dtype: the type of the scores.
        device: where they are.
        max_bytes: the memory of those that are remembered.
    """

    MAX_REMEMBERED = 512

    def __init__(
        self, dtype: torch.dtype, device: torch.device, *, max_bytes: int = MASK_BYTES
    ) -> None:
        self._dtype, self._device = dtype, device
        self._max_bytes = max_bytes
        self._known: dict[tuple[object, ...], Tensor] = {}
        self.num_bytes = 0
        """The memory of those that are remembered now."""

    def of_block(
        self, runs: Sequence[RowSet | None], shape: tuple[int, int, int], window: int | None
    ) -> Tensor:
        """The mask ``[S or 1, 1, R, L]`` of segments.

        Args:
            runs: for each segment the rows whose tree says what they see; ``None``: each row sees
                all before it.
            shape: rows, shared rows and keys, filled up.
            window: how many positions a row looks back.
        """
        if len(set(map(id, runs))) == 1:
            return self._mask(runs[0], shape, window)[None, None]
        return torch.stack([self._mask(run, shape, window) for run in runs])[:, None]

    def _mask(self, run: RowSet | None, shape: tuple[int, int, int], window: int | None) -> Tensor:
        # The rows themselves are in the key: while a mask is known nobody else gets their address.
        key = (run, shape, window)
        known = self._known.get(key)
        if known is None:
            sees = _visible(run, shape, window)
            mask = np.where(sees, np.float32(0.0), np.float32(-np.inf))
            known = torch.from_numpy(mask).to(self._device, self._dtype)
            self._remember(key, known)
        return known

    def _remember(self, key: tuple[object, ...], mask: Tensor) -> None:
        if mask.nbytes > self._max_bytes:
            return
        if (
            len(self._known) >= self.MAX_REMEMBERED
            or self.num_bytes + mask.nbytes > self._max_bytes
        ):
            self._known.clear()
            self.num_bytes = 0
        self._known[key] = mask
        self.num_bytes += mask.nbytes


def _visible(
    run: RowSet | None, shape: tuple[int, int, int], window: int | None
) -> NDArray[np.bool_]:
    num_rows, num_shared, num_keys = shape
    sees = np.zeros((num_rows, num_keys), dtype=np.bool_)
    sees[:, :num_shared] = True
    own = slice(num_shared, num_shared + (num_rows if run is None else len(run)))
    positions = np.arange(num_rows) + num_shared
    key_positions = np.arange(num_keys)
    if run is None:
        sees[:, own] = np.tri(num_rows, dtype=np.bool_)
    else:
        sees[: len(run), own] = run.sees()
        positions[: len(run)] = run.positions
        key_positions[own] = run.positions
    if window is not None:
        # By positions: rows of different branches may have the same one.
        sees &= positions[:, None] - key_positions[None, :] < window
    # Rows that fill up see something, too: a row that sees nothing is NaN.
    nothing = ~sees.any(axis=1)
    sees[nothing, 0] = True
    return sees
