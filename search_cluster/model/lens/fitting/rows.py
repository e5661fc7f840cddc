"""The rows that a lens is fitted to: the states of every depth at each position that counts.

Shapes: S states of a position (L + 1 depths), N rows, B sequences, T tokens, D width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.layerwise import BranchLayout
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


def batches_of(
    sequences: Sequence[TokenSequence], most_tokens: int = ROWS_PER_PASS
) -> Iterator[slice]:
    """Which sequences share a pass, in their order; those that share a row are not parted.

    Args:
        sequences: the texts.
        most_tokens: of a pass, padding included, unless one row has more.
    """
    rows = _rows_of(sequences)
    ends = [0, *accumulate(map(len, rows))]
    for part in pass_slices([_num_tokens(row) for row in rows], most_tokens):
        yield slice(ends[part.start], ends[part.stop])


def _rows_of(sequences: Sequence[TokenSequence]) -> list[list[TokenSequence]]:
    """The sequences that share a row: one that begins anew, and what goes on from its beginning."""
    rows: list[list[TokenSequence]] = []
    for sequence in sequences:
        first = sequence.first
        if (
            first
            and rows
            and sequence.ids[:first] == rows[-1][0].ids[:first]
            and rows[-1][-1].first in (0, first)
        ):
            rows[-1].append(sequence)
        else:
            rows.append([sequence])
    return rows


def _num_tokens(row: Sequence[TokenSequence]) -> int:
    return len(row[0].ids) + sum(sequence.num_rows for sequence in row[1:])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PaddedSequences:
    """A few sequences side by side, padded on the right.

    Those that count from one place of the same beginning on, as a question's choices do, share a
    row: the beginning stands in it once, and runs once.
    """

    ids_BT: Tensor
    mask_BT: Tensor | None
    """1 for tokens; ``None`` if nothing is padded."""
    layout: BranchLayout | None
    """Where tokens stand if some row holds several sequences."""
    counts_BT: Tensor
    """Whether a position counts."""
    next_N: Tensor
    """See `RowBatch`; on the CPU, as the next field."""
    sequence_N: Tensor


def padded(sequences: Sequence[TokenSequence], device: torch.device) -> PaddedSequences:
    """Sequences as one batch on a device."""
    rows = _rows_of(sequences)
    ids_BT, mask_BT = pad_right(
        [
            (*row[0].ids, *(token for item in row[1:] for token in item.ids[item.first :]))
            for row in rows
        ],
        device,
    )
    counts_BT = torch.zeros(ids_BT.shape, dtype=torch.bool)
    next_BT = torch.full(ids_BT.shape, NO_TOKEN)
    sequence_BT = torch.zeros(ids_BT.shape, dtype=torch.long)
    positions_BT = torch.zeros_like(sequence_BT)
    branches_BT = torch.zeros_like(sequence_BT)
    number = 0
    for index, row in enumerate(rows):
        end = 0
        for branch, item in enumerate(row, start=1):
            shown = item.first if branch > 1 else 0  # what stands in the row already
            place = slice(end, end + len(item.ids) - shown)
            end = place.stop
            counts_BT[index, place] = True
            next_BT[index, place.start : end - 1] = torch.tensor(item.ids[shown + 1 :])
            sequence_BT[index, place] = number
            positions_BT[index, place] = torch.arange(shown, len(item.ids))
            branches_BT[index, place] = branch
            number += 1
        # What all have in common: the whole of a row that holds one sequence.
        branches_BT[index, : row[1].first if len(row) > 1 else end] = 0
        counts_BT[index, : row[0].first] = False
    layout = None
    if len(rows) < len(sequences):
        layout = BranchLayout(
            positions_BT=positions_BT.to(device), branches_BT=branches_BT.to(device)
        )
    return PaddedSequences(
        ids_BT=ids_BT,
        mask_BT=mask_BT,
        layout=layout,
        counts_BT=counts_BT.to(device),
        next_N=next_BT[counts_BT],
        sequence_N=sequence_BT[counts_BT],
    )


@torch.inference_mode()
def read_rows(model: PreTrainedModel, sequences: Sequence[TokenSequence]) -> RowBatch:
    """The rows of sequences, in one pass along the plain path."""
    batch = padded(sequences, model.device)
    path = LayerPath.identity(len(model.model.layers))
    num_rows, width = len(batch.next_N), int(model.config.hidden_size)
    states_SND = torch.empty(
        len(path) + 1, num_rows, width, dtype=model.dtype, device=batch.ids_BT.device
    )
    walk = walk_states(model, batch.ids_BT, path, batch.mask_BT, batch.layout)
    for place, hidden_BTD in enumerate(walk):  # a list of them would hold every state twice
        states_SND[place] = hidden_BTD[batch.counts_BT]
    return RowBatch(states_SND=states_SND, next_N=batch.next_N, sequence_N=batch.sequence_N)
