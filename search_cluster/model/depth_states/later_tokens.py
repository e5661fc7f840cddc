"""The tokens of choices after their first ones, and how likely lenses find them.

Shapes: M tokens, S states of a position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.model.depth_states.tables import AnyArray, Ints

DECISION = -1
"""The label of the position where an answer begins; other positions are labelled by the choice
whose next token they predict."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LaterTokens:
    """The tokens of choices after their first ones, M in all, and how likely lenses find them."""

    prompt_M: Ints
    """The question."""
    choice_M: Ints
    """The choice."""
    log_SM: Mapping[str, AnyArray]
    """By lens: the log-probability at each depth, in nats."""

    def to_arrays(self) -> dict[str, AnyArray]:
        """All arrays by name, as a file holds them."""
        logs = {f"log {name}": values for name, values in self.log_SM.items()}
        return {"prompt_M": self.prompt_M, "choice_M": self.choice_M, **logs}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> "LaterTokens":
        """The tokens of which these are the arrays."""
        return cls(
            prompt_M=arrays["prompt_M"],
            choice_M=arrays["choice_M"],
            log_SM={
                key.removeprefix("log "): values
                for key, values in arrays.items()
                if key.startswith("log ")
            },
        )


def all_later(parts: Sequence[LaterTokens]) -> LaterTokens:
    """The tokens of several parts."""
    return LaterTokens(
        prompt_M=np.concatenate([part.prompt_M for part in parts]),
        choice_M=np.concatenate([part.choice_M for part in parts]),
        log_SM={
            name: np.concatenate([part.log_SM[name] for part in parts], axis=1)
            for name in parts[0].log_SM
        },
    )
