"""The tokens of one example as a tree of rows.

The context comes first; choices, drafts and generated tokens branch off it. A row is one token at
one place. Rows that begin alike are the same rows, so a tree holds every continuation of an example
once. A row sees its ancestors and itself, which is all that causal attention is. Rows are only ever
added.

Shapes: R rows that ask, K rows that are looked at.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

INITIAL_CAPACITY = 64
REMEMBERED_MASKS = 64


class TokenTree:
    """The rows of one example; row ``i`` of the context is row ``i`` here.

    Args:
        context_ids: the tokens that all continuations share, at least one.
    """

    def __init__(self, context_ids: Sequence[int]) -> None:
        self.num_context = len(context_ids)
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.visits: list[int] = []
        """For each row how many answers went through it; whoever follows answers counts."""
        self._children: list[dict[int, int]] = []
        self._sees_KK = torch.zeros(0, 0, dtype=torch.bool)
        # What a row sees never changes, so a remembered mask stays right however the tree grows.
        self._visible: dict[tuple[object, ...], Tensor] = {}
        self._reserve(len(context_ids) + INITIAL_CAPACITY)
        row = -1
        for token in context_ids:
            row = self.add(row, token)

    @property
    def last_context_row(self) -> int:
        """The row where every continuation branches off."""
        return self.num_context - 1

    def add(self, parent: int, token: int) -> int:
        """The row of ``token`` behind row ``parent`` (-1 for none), made if there is none."""
        if parent >= 0 and token in self._children[parent]:
            return self._children[parent][token]
        row = len(self.tokens)
        self._reserve(row + 1)
        self.tokens.append(token)
        self.positions.append(0 if parent < 0 else self.positions[parent] + 1)
        self.visits.append(0)
        self._children.append({})
        if parent >= 0:
            self._children[parent][token] = row
            # The parent's row is complete, since a parent is older than its children.
            self._sees_KK[row] = self._sees_KK[parent]
        self._sees_KK[row, row] = True
        return row

    def add_chain(self, parent: int, tokens: Iterable[int]) -> list[int]:
        """The rows of tokens that follow each other behind ``parent``."""
        rows = []
        for token in tokens:
            parent = self.add(parent, token)
            rows.append(parent)
        return rows

    def children(self, parent: int) -> list[int]:
        """The rows that follow ``parent``, oldest first."""
        return list(self._children[parent].values())

    def visible(
        self, asking: Sequence[int], looked_at: Sequence[int], window: int | None
    ) -> Tensor:
        """Which rows see which, ``[R, K]`` bool.

        A row sees its ancestors and itself, the last ``window`` positions of them if there is a
        window. The layers of a path ask the same again and again, so the latest answers are
        remembered; don't change them.
        """
        key = (tuple(asking), tuple(looked_at), window)
        if key not in self._visible:
            if len(self._visible) >= REMEMBERED_MASKS:
                self._visible.clear()
            self._visible[key] = self._compute_visible(
                torch.tensor(asking), torch.tensor(looked_at), window
            )
        return self._visible[key]

    def _compute_visible(self, asking_R: Tensor, looked_at_K: Tensor, window: int | None) -> Tensor:
        visible_RK = self._sees_KK[asking_R][:, looked_at_K]
        if window is not None:
            # By positions, not by row numbers: rows of different branches may have the same
            # position.
            positions = torch.tensor(self.positions)
            distance_RK = positions[asking_R][:, None] - positions[looked_at_K][None, :]
            visible_RK &= distance_RK < window
        return visible_RK

    def _reserve(self, num_rows: int) -> None:
        capacity = len(self._sees_KK)
        if num_rows > capacity:
            # Twice the need, so that adding rows one by one copies each entry a few times at most.
            larger_KK = torch.zeros(2 * num_rows, 2 * num_rows, dtype=torch.bool)
            larger_KK[:capacity, :capacity] = self._sees_KK
            self._sees_KK = larger_KK
