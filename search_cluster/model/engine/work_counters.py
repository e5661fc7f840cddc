"""How much the engine did, in counts."""

from dataclasses import dataclass


@dataclass(slots=True)
class WorkCounters:
    """The work done so far, in counts that do not jitter."""

    layer_runs: int = 0
    """Runs of a layer for the first rows of a node: once per (example, prefix) unless its state was
    evicted."""
    shared_layer_runs: int = 0
    """Such runs for the rows that examples share: once per prefix, whatever the number of
    examples."""
    layer_tokens: int = 0
    """The number of (layer, row) applications."""
    filler_rows: int = 0
    """The number of (layer, row) applications to rows that only fill a call up."""
    unread_rows: int = 0
    """The number of (layer, row) applications without the feed-forward part, because nothing reads
    the row afterwards."""
    visible_rows: int = 0
    """The number of (layer, row, row it may look at) triples, which is the work of attention."""
    layer_calls: int = 0
    """The number of calls of a layer, each for many rows."""
    bridged_rows: int = 0
    """The number of rows that crossed a bridge to a layer or to the final norm."""
    head_rows: int = 0
    """The number of rows whose logits were computed."""
