"""Search spaces: a set of moves and the limits that the final path must keep."""

from dataclasses import dataclass
from itertools import groupby

from search_cluster.paths.layer_path import SKIP, LayerPath
from search_cluster.paths.moves import Move


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """What a path may look like, whichever moves led to it."""

    max_skipped_run: int | None
    """Adjacent layers that may be skipped together; ``None``: any number."""
    max_layer_uses: int | None
    """How often one layer may run; ``None``: any number."""
    max_length_ratio: float
    """Path length at most this times the model's depth."""
    order_kept: bool
    """Whether layers must run in the model's order."""

    def violation(self, path: LayerPath) -> str | None:
        """The first rule that ``path`` breaks, in words, or ``None``."""
        counts = path.counts()
        if self.max_layer_uses is not None and max(counts) > self.max_layer_uses:
            layer = counts.index(max(counts))
            return f"path {path} runs layer {layer} {max(counts)} times; at most {self.max_layer_uses} are allowed"
        if len(path) > self.max_length_ratio * path.num_layers:
            return (
                f"path {path} has {len(path)} layers; at most {self.max_length_ratio * path.num_layers:g} are allowed"
            )
        if self.order_kept and not path.keeps_order:
            return f"path {path} re-orders layers; this space keeps the model's order"
        if self.max_skipped_run is not None:
            longest = max(
                (len(list(run)) for skipped, run in groupby(counts, lambda c: c == SKIP) if skipped), default=0
            )
            if longest > self.max_skipped_run:
                return f"path {path} skips {longest} adjacent layers; at most {self.max_skipped_run} are allowed"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """The paths that a search may visit: all that the moves reach from identity within the limits."""

    moves: tuple[Move, ...]
    limits: PathLimits

    def successors(self, path: LayerPath) -> tuple[LayerPath, ...]:
        """The distinct paths one move away from ``path`` that keep the limits, in a fixed order; never ``path``."""
        found: dict[LayerPath, None] = {}
        for move in self.moves:
            for successor in move.successors(path):
                if successor != path and self.limits.violation(successor) is None:
                    found.setdefault(successor)
        return tuple(found)
