"""The tokens of one example as a tree of rows.

The context comes first; choices, drafts and generated tokens branch off it. A row is one token at
one place. Rows that begin alike are the same rows, so a tree holds every continuation of an example
once. A row sees its ancestors and itself, which is all that causal attention is. Rows are only ever
added.

Shapes: R rows that ask, K rows that are looked at.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from search_cluster.model.engine.slabs import Slots

REMEMBERED_SETS = 256


class TokenTree:
    """The rows of one example; row ``i`` of the context is row ``i`` here.

    Args:
        context_ids: the tokens that all continuations share, at least one.
    """

    def __init__(self, context_ids: Sequence[int]) -> None:
        self.num_context = len(context_ids)
        self.tokens: list[int] = list(context_ids)
        self.positions: list[int] = list(range(self.num_context))
        self.visits: list[int] = [0] * self.num_context
        """For each row how many answers went through it; whoever follows answers counts."""
        self._children: list[dict[int, int]] = [
            {token: row} for row, token in enumerate(self.tokens[1:], start=1)
        ]
        self._children.append({})
        self._branches: list[tuple[int, ...]] = [()] * self.num_context
        # What a set of rows is never changes, so a remembered one stays right however the tree
        # grows.
        self._sets: dict[tuple[int, ...], RowSet] = {}

    @property
    def last_context_row(self) -> int:
        """The row where every continuation branches off."""
        return self.num_context - 1

    def add(self, parent: int, token: int) -> int:
        """The row of ``token`` behind row ``parent``, made if there is none."""
        known = self._children[parent].get(token)
        if known is not None:
            return known
        row = len(self.tokens)
        self.tokens.append(token)
        self.positions.append(self.positions[parent] + 1)
        self.visits.append(0)
        self._children.append({})
        self._children[parent][token] = row
        self._branches.append((*self._branches[parent], row))
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

    def branch(self, row: int) -> tuple[int, ...]:
        """The row's ancestors behind the context and the row itself; none of a context's row."""
        return self._branches[row]

    def row_set(self, rows: Iterable[int]) -> "RowSet":
        """Some rows as a set; the same object for the same rows, as long as it is remembered."""
        key = tuple(sorted(rows))
        known = self._sets.get(key)
        if known is None:
            if len(self._sets) >= REMEMBERED_SETS:
                self._sets.clear()
            known = self._sets[key] = RowSet(self, key)
        return known


class Chain:
    """Rows of a set that follow each other: each one sees those before it and all their ancestors.

    Args:
        places: where the rows stand in the set, side by side.
        past: the ancestors of the first row behind the context.
        first: the first row.
    """

    __slots__ = ("first", "past", "places")

    def __init__(self, places: slice, past: Slots, first: int) -> None:
        self.places = places
        self.past = past
        self.first = first

    @property
    def num_rows(self) -> int:
        """The number of its rows."""
        return int(self.places.stop - self.places.start)


class RowSet:
    """Some rows of a tree in rising order, which puts ancestors first."""

    def __init__(self, tree: TokenTree, rows: tuple[int, ...]) -> None:
        self.tree = tree
        self.key = rows
        self.rows: Slots = np.array(rows, dtype=np.int64)
        self.tokens: Slots = np.array([tree.tokens[row] for row in rows], dtype=np.int64)
        self.positions: Slots = np.array([tree.positions[row] for row in rows], dtype=np.int64)
        self._chains: list[Chain] | None = None
        self._sees_RK: NDArray[np.bool_] | None = None
        self._num_visible: dict[int | None, int] = {}
        self._num_keys: int | None = None

    def __len__(self) -> int:
        return len(self.key)

    @property
    def first_context_row(self) -> int:
        """The first row, if it is the context's; the end of the context if it has none."""
        return min(self.key[0], self.tree.num_context)

    def chains(self) -> list[Chain]:
        """Its rows as chains, in order: the context's rows with what follows them, then branches.

        The context's rows in it are the context's last ones without a gap.
        """
        if self._chains is None:
            self._chains = list(self._find_chains())
        return self._chains

    def num_keys(self) -> int:
        """The number of keys that its chains see, each chain's counted for itself."""
        if self._num_keys is None:
            last_rows = [chain.places.stop - 1 for chain in self.chains()]
            self._num_keys = int((self.positions[last_rows] + 1).sum())
        return self._num_keys

    def _find_chains(self) -> Iterable[Chain]:
        tree, start = self.tree, 0
        for place in range(1, len(self.key) + 1):
            if place < len(self.key) and self._parent(place) == self.key[place - 1]:
                continue
            first = self.key[start]
            past = np.array(tree.branch(first)[:-1], dtype=np.int64)
            yield Chain(slice(start, place), past, first)
            start = place

    def _parent(self, place: int) -> int:
        row = self.key[place]
        if row < self.tree.num_context:
            return row - 1
        branch = self.tree.branch(row)
        return branch[-2] if len(branch) > 1 else self.tree.last_context_row

    def num_visible(self, window: int | None) -> int:
        """The number of pairs of a row and a row of the tree that it sees."""
        if window not in self._num_visible:
            seen = self.positions + 1 if window is None else np.minimum(self.positions + 1, window)
            self._num_visible[window] = int(seen.sum())
        return self._num_visible[window]

    def sees(self) -> NDArray[np.bool_]:
        """Which rows of the set see which, ``[R, R]``; windows apart."""
        if self._sees_RK is None:
            num_own = max(0, self.tree.num_context - self.first_context_row)
            sees = np.zeros((len(self.key), len(self.key)), dtype=np.bool_)
            sees[:, :num_own] = np.tri(len(self.key), num_own, dtype=np.bool_)
            place_of = {row: place for place, row in enumerate(self.key)}
            for place in range(num_own, len(self.key)):
                for row in self.tree.branch(self.key[place]):
                    sees[place, place_of[row]] = True
            self._sees_RK = sees
        return self._sees_RK
