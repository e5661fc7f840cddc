"""Search spaces: a set of moves and the limits that the final path must keep."""

from dataclasses import dataclass

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.paths.limits import Limits
from search_cluster.paths.moves import Move


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """The paths that a search may visit: all that the moves reach from identity within the limits.

    The candidate edits of a path are numbered through all moves, so that edits can be drawn one by
    one.
    """

    moves: tuple[Move, ...]
    limits: Limits
    kinds_evenly: bool = False
    """How a random edit is drawn.

    If true, the kind of move is drawn first, all equally likely, and then an edit of that kind;
    else all edits are equally likely. A kind with many variants, such as numbers of repeats, would
    else crowd out the others."""

    def group_sizes(self, path: LayerPath) -> tuple[int, ...]:
        """The sizes of the groups of candidate edits, in the order of the edits' numbers.

        Each group is equally likely to be drawn.
        """
        sizes = tuple(move.num_edits(path) for move in self.moves)
        return sizes if self.kinds_evenly else (sum(sizes),)

    def num_edits(self, path: LayerPath) -> int:
        """How many candidate edits of ``path`` there are.

        Some may be impossible or break the limits.
        """
        return sum(move.num_edits(path) for move in self.moves)

    def edit(self, path: LayerPath, index: int) -> LayerPath | None:
        """What candidate ``index``, in ``[0, num_edits(path))``, makes of ``path``.

        Returns:
            A path within the limits, never ``path`` itself; ``None`` where there is none.

        Raises:
            InvalidValueError: there is no such candidate.
        """
        left = index
        for move in self.moves:
            num_edits = move.num_edits(path)
            if left < num_edits:
                edited = move.edit(path, left)
                return (
                    None if edited is None or self.limits.violation(edited) is not None else edited
                )
            left -= num_edits
        raise InvalidValueError(
            f"edit {index} of a path with {self.num_edits(path)} candidates; the first is 0"
        )

    def successors(self, path: LayerPath) -> tuple[LayerPath, ...]:
        """The distinct paths one edit away from ``path``, in the order of the edits.

        All are listed, so it is for small spaces.
        """
        found = (self.edit(path, index) for index in range(self.num_edits(path)))
        return tuple(dict.fromkeys(successor for successor in found if successor is not None))
