"""Moves: how one layer path turns into its successors.

A move returns new paths, never an equal one, and each path once. Moves only edit layers that still run exactly once, so
that the number of edits grows with every step: a graph of these moves has no cycles, and the order of edits does not
matter for what can be reached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from search_cluster.paths.layer_path import EXECUTE, REPEAT, SKIP, LayerPath


class Move(Protocol):
    """One kind of edit."""

    def successors(self, path: LayerPath) -> Iterator[LayerPath]:
        """All paths that one edit of this kind makes of ``path``, in a fixed order."""
        ...


@dataclass(frozen=True, slots=True)
class SkipAdjacent:
    """Skip 1 to ``max_layers`` adjacent layers that still run once (Dr.LLM, section 4; CoLa, section 3)."""

    max_layers: int

    def successors(self, path: LayerPath) -> Iterator[LayerPath]:
        """Paths with one more run of layers skipped."""
        decisions = path.decisions()
        for size in range(1, self.max_layers + 1):
            for first in range(path.num_layers - size + 1):
                if all(decision == EXECUTE for decision in decisions[first : first + size]):
                    edited = (*decisions[:first], *[SKIP] * size, *decisions[first + size :])
                    if any(edited):
                        yield LayerPath.from_decisions(edited)


@dataclass(frozen=True, slots=True)
class RepeatOnce:
    """Run one layer, that runs once, a second time directly after the first (Dr.LLM, section 4)."""

    def successors(self, path: LayerPath) -> Iterator[LayerPath]:
        """Paths with one more layer repeated."""
        decisions = path.decisions()
        for layer, decision in enumerate(decisions):
            if decision == EXECUTE:
                yield LayerPath.from_decisions((*decisions[:layer], REPEAT, *decisions[layer + 1 :]))
