"""The rows that a lens is fitted to: the states of every depth at each position that counts.

Shapes: S states of a position (L + 1 depths), N rows, B sequences, T tokens, D width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.lens.states import pad_right, pass_slices, walk_states
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.layer_path import LayerPath

ROWS_PER_PASS = 1024
"""The largest number of tokens, padding included, that one pass takes, unless one sequence has
more."""
NO_TOKEN = -1
"""Stands where a sequence ends, and nobody knows the next token."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RowBatch:
    """The rows of a few sequences, in their order."""

    states_SND: Tensor
    """In the model's dtype, before the final norm; the last is the final one."""
    next_N: Tensor
    """The token that follows in the text, or `NO_TOKEN`."""
    sequence_N: Tensor
    """The place of its sequence among those of the batch."""


def batches_of(sequences: Sequence[TokenSequence]) -> Iterator[slice]:
    """Which sequences share a pass, in their order."""
    return pass_slices([len(sequence.ids) for sequence in sequences], ROWS_PER_PASS)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PaddedSequences:
    """A few sequences side by side, padded on the right."""

    ids_BT: Tensor
    mask_BT: Tensor | None
    """1 for tokens; ``None`` if nothing is padded."""
    counts_BT: Tensor
    """Whether a position counts."""
    next_N: Tensor
    """See `RowBatch`; on the CPU."""


def padded(sequences: Sequence[TokenSequence], device: torch.device) -> PaddedSequences:
    """Sequences as one batch on a device."""
    ids_BT, mask_BT = pad_right([sequence.ids for sequence in sequences], device)
    counts_BT = torch.zeros(ids_BT.shape, dtype=torch.bool)
    next_BT = torch.full(ids_BT.shape, NO_TOKEN)
    for index, sequence in enumerate(sequences):
        length = len(sequence.ids)
        counts_BT[index, sequence.first : length] = True
        next_BT[index, : length - 1] = torch.tensor(sequence.ids[1:])
    return PaddedSequences(
        ids_BT=ids_BT, mask_BT=mask_BT, counts_BT=counts_BT.to(device), next_N=next_BT[counts_BT]
    )


@torch.inference_mode()
def read_rows(model: PreTrainedModel, sequences: Sequence[TokenSequence]) -> RowBatch:
    """The rows of sequences, in one pass along the plain path."""
    batch = padded(sequences, model.device)
    path = LayerPath.identity(len(model.model.layers))
    states_SND = torch.stack(
        [
            hidden[batch.counts_BT]
            for hidden in walk_states(model, batch.ids_BT, path, batch.mask_BT)
        ]
    )
    sequence_N = batch.counts_BT.nonzero()[:, 0].cpu()
    return RowBatch(states_SND=states_SND, next_N=batch.next_N, sequence_N=sequence_N)
