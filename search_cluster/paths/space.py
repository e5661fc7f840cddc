"""Search spaces: a set of moves and the limits that the final path must keep."""

from dataclasses import dataclass

from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.limits import Limits
from search_cluster.paths.moves import Move


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """The paths that a search may visit: all that the moves reach from identity within the limits.

    The candidate edits of a path are numbered through all moves, so that edits can be drawn one by one.
    """

    moves: tuple[Move, ...]
    limits: Limits

    def num_edits(self, path: LayerPath) -> int:
        """How many candidate edits of ``path`` there are; some may be impossible or break the limits."""
        return sum(move.num_edits(path) for move in self.moves)

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """What candidate ``index``, in ``[0, num_edits(path))``, makes of ``path``.

        Returns:
            A path within the limits, never ``path`` itself; ``None`` where there is none.
        """
        for move in self.moves:
            num_edits = move.num_edits(path)
            if index < num_edits:
                edited = move.edit(path, index)
                return None if edited is None or self.limits.violation(edited) is not None else edited
            index -= num_edits
        raise IndexError(f"edit {index} past the last one")

    def successors(self, path: LayerPath) -> tuple[LayerPath, ...]:
        """The distinct paths one edit away from ``path``, in the order of the edits. Lists all: for small spaces."""
        found = (self.edit(path, index) for index in range(self.num_edits(path)))
        return tuple(dict.fromkeys(successor for successor in found if successor is not None))
