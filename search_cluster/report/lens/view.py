"""What a lens read of one text along one path: plain values, for a terminal, a page and JSON."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LensRow:
    """The readings of one state at every position."""

    place: int
    """Its place along the path: 0 is the embedding."""
    layer: int | None
    """The layer that wrote it; ``None`` for the embedding."""
    depth: int
    """The depth that its translator belongs to."""
    top: tuple[str, ...]
    """The likeliest token at each position."""
    top_probability: tuple[float, ...]
    entropy: tuple[float, ...]
    """In nats."""
    divergence: tuple[float, ...]
    """KL(end of the path || lens) in nats."""
    final_rank: tuple[int, ...]
    """The rank of the token that is likeliest at the end of the path; 0 is the likeliest."""
    next_rank: tuple[int | None, ...]
    """The rank of the next token of the text; ``None`` at its end."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "embedding" if self.layer is None else f"{self.place} (layer {self.layer})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LensView:
    """All states along a path, the embedding first."""

    model: str
    lens: str
    """The folder of the lens, or ``logit``."""
    kind: str
    path: str
    source: str
    """What text it is, in words."""
    tokens: tuple[str, ...]
    """The text, token by token."""
    rows: tuple[LensRow, ...]

    def values(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "model": self.model,
            "lens": self.lens,
            "kind": self.kind,
            "path": self.path,
            "text": self.source,
            "tokens": list(self.tokens),
            "states": [
                {
                    "place": row.place,
                    "layer": row.layer,
                    "depth": row.depth,
                    "top": list(row.top),
                    "top_probability": list(row.top_probability),
                    "entropy": list(row.entropy),
                    "divergence": list(row.divergence),
                    "final_rank": list(row.final_rank),
                    "next_rank": list(row.next_rank),
                }
                for row in self.rows
            ],
        }
