"""How well a lens reads texts that it was not fitted to.

Beside it stand the logit lens and the lens with its translators one off, which is what it costs to
read the state after layer l with translator l, as published scripts do.

Shapes: S depths (L + 1), N rows, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.lens.fitting.divergence import (
    CHUNK_ROWS,
    FinalPrediction,
    lens_logits,
)
from search_cluster.model.lens.fitting.rows import batches_of, read_rows
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.texts import TokenSequence

TUNED, LOGIT, BEFORE, AFTER = "tuned", "logit", "before", "after"
"""The ways to read a state of depth i: with translator i, with none, with i - 1, with i + 1."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensFigures:
    """Sums over the rows of each text, from which all figures follow.

    A translator that there is not leaves NaN: i - 1 at depth 0, i + 1 at the last two depths. The
    last depth has no translator of its own, and published scripts read it with that before it.
    """

    divergence_GWS: Tensor
    """By text, way to read (`TUNED`, `LOGIT`, `BEFORE`, `AFTER`) and depth: the sum of KL(final ||
    lens) in nats, float64."""
    agreement_GWS: Tensor
    """The same for how often the likeliest token is the final one."""
    num_rows_G: Tensor
    """The rows of each text."""

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return int(self.num_rows_G.sum())

    def divergence(self, way: str) -> list[float | None]:
        """The mean divergence at each depth; ``None`` where there is no such translator."""
        return _means(self.divergence_GWS[:, _WAYS.index(way)], self.num_rows)

    def agreement(self, way: str) -> list[float | None]:
        """The share of rows whose likeliest token is the final one, at each depth."""
        return _means(self.agreement_GWS[:, _WAYS.index(way)], self.num_rows)


_WAYS = (TUNED, LOGIT, BEFORE, AFTER)


def _means(sum_GS: Tensor, num_rows: int) -> list[float | None]:
    return [None if mean != mean else mean for mean in (sum_GS.sum(dim=0) / num_rows).tolist()]


@torch.inference_mode()
def judge_lens(
    model: PreTrainedModel,
    lens: Lens,
    sequences: Sequence[TokenSequence],
    *,
    one_off: bool = True,
    progress: Callable[[int], None] = lambda num_sequences: None,
) -> LensFigures:
    """Read all rows of texts at every depth of the plain path.

    Args:
        model: the model.
        lens: its lens.
        sequences: the texts.
        one_off: whether to read with translators one off, too, which doubles the work.
        progress: is told how many texts are read.

    Raises:
        NonFiniteLogitsError: a lens leads to logits that are not finite.
    """
    divergences, agreements, counts = [], [], []
    for batch in batches_of(sequences):
        # A pass' states go before the next are read, for they are many.
        divergence_GWS, agreement_GWS, num_rows_G = _judge_pass(
            model, lens, sequences[batch], one_off
        )
        divergences.append(divergence_GWS)
        agreements.append(agreement_GWS)
        counts.append(num_rows_G)
        progress(batch.stop)
    return LensFigures(
        divergence_GWS=torch.cat(divergences),
        agreement_GWS=torch.cat(agreements),
        num_rows_G=torch.cat(counts),
    )


def _judge_pass(
    model: PreTrainedModel, lens: Lens, sequences: Sequence[TokenSequence], one_off: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of texts that share a pass, as `LensFigures` holds them."""
    rows = read_rows(model, sequences)
    shape = (len(sequences), len(_WAYS), rows.states_SND.shape[0])
    divergence_GWS = torch.full(shape, torch.nan, dtype=torch.float64)
    agreement_GWS = divergence_GWS.clone()
    for chunk_SND, text_N in zip(
        torch.split(rows.states_SND, CHUNK_ROWS, dim=1),
        torch.split(rows.sequence_N, CHUNK_ROWS),
        strict=True,
    ):
        for place, (divergence_N, agrees_N) in _judge_rows(model, lens, chunk_SND, one_off):
            _add(divergence_GWS[:, *place], text_N, divergence_N)
            _add(agreement_GWS[:, *place], text_N, agrees_N)
    num_rows_G = torch.bincount(rows.sequence_N, minlength=len(sequences))
    return divergence_GWS, agreement_GWS, num_rows_G


def _judge_rows(
    model: PreTrainedModel, lens: Lens, states_SND: Tensor, one_off: bool
) -> Iterator[tuple[tuple[int, int], tuple[Tensor, Tensor]]]:
    """The way and the depth of each reading of rows, and what it says of them."""
    final = FinalPrediction.of(model, states_SND[-1])
    for depth, hidden_ND in enumerate(states_SND):
        for way, state_ND in _readings(lens, hidden_ND, depth, one_off).items():
            yield (_WAYS.index(way), depth), _judge_reading(model, state_ND, final)


def _judge_reading(
    model: PreTrainedModel, state_ND: Tensor, final: FinalPrediction
) -> tuple[Tensor, Tensor]:
    """The divergence of each row, and whether its likeliest token is the final one."""
    logits_NV = lens_logits(model, state_ND)  # gone when this returns, before the next are formed
    return final.divergence(logits_NV), logits_NV.argmax(dim=-1) == final.top_N


def _readings(lens: Lens, state_ND: Tensor, depth: int, one_off: bool) -> dict[str, Tensor]:
    """The states that stand for the final one, by the way to read."""
    found = {TUNED: lens.translate(state_ND, depth), LOGIT: state_ND}
    if one_off and depth > 0:
        found[BEFORE] = lens.translate(state_ND, depth - 1)
    if one_off and depth + 1 < lens.num_layers:
        found[AFTER] = lens.translate(state_ND, depth + 1)
    return found


def _add(sum_G: Tensor, text_N: Tensor, value_N: Tensor) -> None:
    """Add the values of rows to the sums of their texts."""
    sum_G.nan_to_num_().index_add_(0, text_N, value_N.double().cpu())
