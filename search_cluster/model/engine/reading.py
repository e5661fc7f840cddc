"""What is read off the logits of a row.

Shapes: R rows whose logits are read, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from search_cluster.model.engine.answers import RowReading

MIN_ROWS = 8
"""Sums over a vocabulary have the same bits for any number of rows from 2 on: those of a single row
are shared out among threads."""
SPARE_ROWS = 1
"""Rows behind those that are read. On a CPU the last elements of a table go through other code."""
ALIGNED_LOGITS, UNALIGNED_KINDS = 8, ("cpu",)
"""A row has a multiple of so many logits on all other kinds of devices."""


def read_logits(logits_RV: Tensor, asked: Sequence[Sequence[int]]) -> list[RowReading]:
    """What `RowReading` says; it is read back from the device in one piece.

    Args:
        logits_RV: float32 logits, which are overwritten; at least `MIN_ROWS` rows, of which the
            first ones are read.
        asked: for each row that is read the tokens whose log-probabilities are wanted. If no row
            names any, the most likely token of each row is read instead.
    """
    # A sum is finite only if all its terms are.
    finite_R = torch.isfinite(logits_RV.sum(dim=-1))[: len(asked)]
    if any(asked):
        return _log_probs(logits_RV, asked, finite_R)
    best_R1, token_R1 = logits_RV.max(dim=-1, keepdim=True)  # the first one of equals
    second_R = logits_RV.scatter_(1, token_R1, -torch.inf).amax(dim=-1)
    columns = (finite_R, token_R1[: len(asked), 0], (best_R1[:, 0] - second_R)[: len(asked)])
    read_3R = torch.stack([column.double() for column in columns]).tolist()
    return [
        RowReading(finite=bool(finite), best_token=int(token), gap=gap)
        for finite, token, gap in zip(*read_3R, strict=True)
    ]


def _log_probs(
    logits_RV: Tensor, asked: Sequence[Sequence[int]], finite_R: Tensor
) -> list[RowReading]:
    places = [(row, token) for row, tokens in enumerate(asked) for token in tokens]
    rows_and_tokens = torch.tensor(places).to(logits_RV.device, non_blocking=True)
    rows, tokens = rows_and_tokens.unbind(dim=1)
    # Row by row: element by element the last ones of a table go through other code, whose last bits
    # differ.
    log_probs = _aligned(logits_RV).log_softmax(dim=-1)[rows, tokens]
    read = torch.cat([finite_R.double(), log_probs.double()]).tolist()
    finite, values = read[: len(asked)], read[len(asked) :]
    found: list[dict[int, float]] = [{} for _ in asked]
    for (row, token), value in zip(places, values, strict=True):
        found[row][token] = value
    return [
        RowReading(finite=bool(ok), log_probs=of_row)
        for ok, of_row in zip(finite, found, strict=True)
    ]


def _aligned(logits_RV: Tensor) -> Tensor:
    """The logits, with tokens of no probability behind a vocabulary that is no such multiple.

    On a GPU a row that begins between two words of 16 bytes is summed in another order.
    """
    missing = -logits_RV.shape[1] % ALIGNED_LOGITS
    if logits_RV.device.type in UNALIGNED_KINDS or not missing:
        return logits_RV
    return pad(logits_RV, (0, missing), value=-torch.inf)
