"""What prompts answer with the states of others in their place, as plain arrays.

Shapes: N pairs, S = L + 2 answers of a pair, K tokens that are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_cluster.model.depth_states.tables import Ints, PlainArrays


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PatchReadings(PlainArrays):
    """The answers of some pairs of prompts."""

    prompt_N: Ints
    """The recipient; recipients are what is drawn again."""
    log_SNK: NDArray[np.float32]
    """The log-probability of the donor's options, then of the recipient's, in nats: patched at each
    depth 0, ..., L, where the last is the donor's own answer, then the recipient's own."""


def all_pairs(parts: Sequence[PatchReadings]) -> PatchReadings:
    """The pairs of several parts, in their order."""
    return PatchReadings(
        prompt_N=np.concatenate([part.prompt_N for part in parts]),
        log_SNK=np.concatenate([part.log_SNK for part in parts], axis=1),
    )
