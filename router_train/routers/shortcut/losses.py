"""What a readout says of units: their losses, how far it is from the full model, and who is right.

Shapes: N rows, V vocabulary, U units, C choices, K tokens of chains.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from router_train.config import LEARN_ANSWER, LEARN_FULL
from router_train.routers.shortcut.readouts import Readout
from router_train.routers.shortcut.rows import Rows, Unit, index_of
from search_cluster.model.lens.fitting.divergence import (
    FinalPrediction,
    lens_logits,
    require_finite_readings,
)

CHUNK_ROWS = 512
"""Rows whose logits are in memory together, unless one unit has more."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Said:
    """What a readout says of some units, on the CPU and in float64."""

    loss_U: Tensor
    """What was learned, in nats."""
    divergence_U: Tensor
    """KL(full model || readout) in nats, in the mean over a unit's rows."""
    right_U: Tensor
    """Whether the gold choice is the likeliest, or each token of the only chain is."""


def chunks(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units in their order, with a bounded number of rows each."""
    part: list[Unit] = []
    num_rows = 0
    for unit in units:
        if part and num_rows + len(unit.tokens) > CHUNK_ROWS:
            yield part
            part, num_rows = [], 0
        part.append(unit)
        num_rows += len(unit.tokens)
    if part:
        yield part


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Judge:
    """The frozen norm and head over the rows of some units."""

    model: PreTrainedModel
    rows: Rows
    learn: str
    """See `router_train.config.FitConfig.learn`."""

    def losses(self, readout: Readout, units: Sequence[Unit]) -> Tensor:
        """The loss ``[U]`` of each unit, in nats, through which gradients pass.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        index_N = index_of(units)
        logits_NV = self._logits(readout, index_N)
        if self.learn == LEARN_FULL:
            return _mean_of_units(self._divergence(logits_NV, index_N), units)
        scores, _ = _scores(logits_NV, units)
        return torch.stack([self._loss(*item) for item in zip(units, scores, strict=True)])

    @torch.no_grad()
    def mean_loss(self, readout: Readout, units: Sequence[Unit]) -> float:
        """The mean of the units' losses, in nats; nothing that is not learned is computed.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        parts = [self.losses(readout, part).double().cpu() for part in chunks(units)]
        return float(torch.cat(parts).mean())

    @torch.no_grad()
    def say(self, readout: Readout, units: Sequence[Unit]) -> Said:
        """All that is compared.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        losses, divergences, right = [], [], []
        for part in chunks(units):
            index_N = index_of(part)
            logits_NV = self._logits(readout, index_N)
            divergence_U = _mean_of_units(self._divergence(logits_NV, index_N), part)
            scores, greedy = _scores(logits_NV, part)
            divergences += divergence_U.double().tolist()
            for unit, scores_C, is_greedy, divergence in zip(
                part, scores, greedy, divergence_U, strict=True
            ):
                is_full = self.learn == LEARN_FULL
                losses.append(float(divergence if is_full else self._loss(unit, scores_C)))
                best = int(scores_C.argmax())
                right.append(best == unit.gold if unit.is_asked else is_greedy)
        return Said(
            loss_U=torch.tensor(losses, dtype=torch.float64),
            divergence_U=torch.tensor(divergences, dtype=torch.float64),
            right_U=torch.tensor(right, dtype=torch.bool),
        )

    def _loss(self, unit: Unit, scores_C: Tensor) -> Tensor:
        """Of the answer among the choices, or of the right tokens where there are none."""
        if self.learn == LEARN_ANSWER and unit.is_asked:
            return scores_C.logsumexp(dim=0) - scores_C[unit.gold]
        return -scores_C[unit.gold]

    def _logits(self, readout: Readout, index_N: Tensor) -> Tensor:
        device = self.model.device
        final_ND = self.rows.final_ND[index_N].to(device)
        read_ND = readout.read(final_ND, self.rows.change_NSD[index_N].to(device))
        return lens_logits(self.model, read_ND.to(self.model.dtype))

    def _divergence(self, logits_NV: Tensor, index_N: Tensor) -> Tensor:
        with torch.no_grad():
            full_ND = self.rows.full_ND[index_N].to(self.model.device, self.model.dtype)
            full = FinalPrediction.of(self.model, full_ND)
        return full.divergence(logits_NV)


def _mean_of_units(value_N: Tensor, units: Sequence[Unit]) -> Tensor:
    parts = value_N.split([len(unit.tokens) for unit in units])  # type: ignore[no-untyped-call]
    return torch.stack([part.mean() for part in parts])


def _scores(logits_NV: Tensor, units: Sequence[Unit]) -> tuple[list[Tensor], list[bool]]:
    """For each unit the mean log-probability of each chain's tokens, and whether all are greedy.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    rows, tokens, lengths, first = [], [], [], 0
    for unit in units:
        for chain in unit.chains:
            rows += [first + row for row, _ in chain]
            tokens += [token for _, token in chain]
            lengths.append(len(chain))
        first += len(unit.tokens)
    norm_N = logits_NV.logsumexp(dim=-1)
    require_finite_readings(norm_N.detach())
    rows_K = torch.tensor(rows, device=logits_NV.device)
    tokens_K = torch.tensor(tokens, device=logits_NV.device)
    log_K = logits_NV[rows_K, tokens_K] - norm_N[rows_K]
    greedy_K = logits_NV.detach().argmax(dim=-1)[rows_K] == tokens_K
    means = [part.mean() for part in log_K.split(lengths)]  # type: ignore[no-untyped-call]
    greedy = [bool(part.all()) for part in greedy_K.split(lengths)]  # type: ignore[no-untyped-call]
    scores, all_greedy, taken = [], [], 0
    for unit in units:
        own = slice(taken, taken + len(unit.chains))
        scores.append(torch.stack(means[own]))
        all_greedy.append(greedy[own][unit.gold])
        taken = own.stop
    return scores, all_greedy
