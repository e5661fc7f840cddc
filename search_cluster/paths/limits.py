"""Limits: what a path may look like, whichever moves led to it."""

from dataclasses import dataclass
from operator import sub
from typing import Protocol

from search_cluster.paths.layer_path import LayerPath


class Limits(Protocol):
    """Rules for a final path. They are pure."""

    def violation(self, path: LayerPath) -> str | None:
        """The first rule that ``path`` breaks, in words, or ``None``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """Limits on runs of skipped layers, uses of a layer, length and order."""

    max_skipped_run: int | None
    """The number of adjacent layers that may be skipped together; ``None`` means any number."""
    max_layer_uses: int | None
    """How often one layer may run; ``None`` means any number of times."""
    max_length_ratio: float
    """The largest length of a path, as a multiple of the model's depth."""
    order_kept: bool
    """Whether layers must run in the model's order."""

    def violation(self, path: LayerPath) -> str | None:
        """The first rule that ``path`` breaks, in words, or ``None``."""
        layers = path.layers
        executed = set(layers)
        if self.max_layer_uses is not None and len(executed) < len(layers):
            counts = path.counts()
            uses = max(counts)
            if uses > self.max_layer_uses:
                layer = counts.index(uses)
                return (
                    f"path {path} runs layer {layer} {uses} times; at most {self.max_layer_uses} "
                    "are allowed"
                )
        if len(layers) > self.max_length_ratio * path.num_layers:
            allowed = self.max_length_ratio * path.num_layers
            return f"path {path} has {len(path)} layers; at most {allowed:g} are allowed"
        if self.order_kept and not path.keeps_order:
            return f"path {path} re-orders layers; this space keeps the model's order"
        if self.max_skipped_run is not None:
            borders = [-1, *sorted(executed), path.num_layers]
            longest = max(map(sub, borders[1:], borders)) - 1
            if longest > self.max_skipped_run:
                return (
                    f"path {path} skips {longest} adjacent layers; at most {self.max_skipped_run} "
                    "are allowed"
                )
        return None
