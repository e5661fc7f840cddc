"""The rows that a fit does not learn from, by which it chooses.

Shapes: S states of a position (L + 1 depths), N rows, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.lens.fitting.rows import batches_of, read_rows
from search_cluster.model.lens.texts import TokenSequence, by_context

HELD_OUT_EVERY = 10
"""One of so many texts is held out."""
MOST_ROWS = 256
"""The largest number of rows that choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSequences:
    """Texts to fit to, and others to choose by."""

    fitted: tuple[TokenSequence, ...]
    held_out: tuple[TokenSequence, ...]


def split_sequences(sequences: Sequence[TokenSequence]) -> SplitSequences:
    """Hold out every tenth text, or the last of fewer.

    Texts of one context stay together.

    Raises:
        InvalidValueError: there is only one text.
    """
    groups = by_context(sequences)
    if len(groups) < 2:
        raise InvalidValueError(
            f"there are {len(groups)} texts to fit a lens to; at least 2 are needed, one to choose "
            "by: give more tokens"
        )
    every = min(HELD_OUT_EVERY, len(groups))
    return SplitSequences(
        fitted=tuple(
            item
            for index, group in enumerate(groups)
            if index % every != every - 1
            for item in group
        ),
        held_out=tuple(item for group in groups[every - 1 :: every] for item in group),
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HeldOutRows:
    """Rows with the states of every depth."""

    states_SND: Tensor
    """In the model's dtype, before the final norm."""
    next_N: Tensor
    """See `search_cluster.model.lens.fitting.rows.RowBatch`."""

    @classmethod
    def read(
        cls,
        model: PreTrainedModel,
        sequences: Sequence[TokenSequence],
        *,
        most_rows: int = MOST_ROWS,
    ) -> "HeldOutRows":
        """Rows at even distances, as many as are allowed."""
        num_rows = sum(sequence.num_rows for sequence in sequences)
        stride = -(-num_rows // most_rows)
        states, following = [], []
        passed = 0
        for batch in batches_of(sequences):
            rows = read_rows(model, sequences[batch])
            taken = slice(-passed % stride, None, stride)
            states.append(rows.states_SND[:, taken].clone())  # not a view of all rows
            following.append(rows.next_N[taken])
            passed += rows.next_N.shape[0]
        return cls(states_SND=torch.cat(states, dim=1), next_N=torch.cat(following))
