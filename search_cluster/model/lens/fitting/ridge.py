"""Translators in closed form: ridge regression from the state of each depth to the final one.

Per depth the weights W and b of least ``sum_n w_n |h_n + W h_n + b - z_n|^2 + s |W|^2`` are found,
where z is the final state before the final norm (Din et al., arXiv 2303.09435, do so without s and
b). The penalty draws W to zero, that is to the logit lens. All that is needed of the rows are sums,
which are formed in float64 from float32 products of one pass each.

Shapes: L depths with a translator, N rows, D width, C strengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.lens.fitting.divergence import FinalPredictions
from search_cluster.model.lens.fitting.held_out import HeldOutRows, split_sequences
from search_cluster.model.lens.fitting.rows import batches_of, read_rows
from search_cluster.model.lens.fitting.rows_on_disk import RowsOnDisk
from search_cluster.model.lens.fitting.unfinished import Progress, UnfinishedFit
from search_cluster.model.lens.fitting.weights import TokenWeights
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.texts import TokenSequence

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""The strengths s that are compared at each depth, as multiples of the median variance of a
feature of its states. (The mean would follow the first position of a text, whose states are a
hundred times as long as others in most models.)"""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RidgeFit:
    """What a ridge regression found."""

    lens: Lens
    strengths: tuple[float, ...]
    """The strength that was chosen at each depth, of `STRENGTHS`."""
    held_out_divergence: tuple[float, ...]
    """The divergence from the final prediction at each depth on the rows that chose it, in nats."""
    num_rows: int
    """The rows that the sums are over."""
    mean_change_LD: Tensor
    """The mean of what is missing to the final state: the bias of a lens without weights."""
    held_out: HeldOutRows
    """The rows that chose."""


def fit_ridge(
    model: PreTrainedModel,
    sequences: Sequence[TokenSequence],
    *,
    weights: TokenWeights | None = None,
    unfinished: UnfinishedFit | None = None,
    kept_rows: RowsOnDisk | None = None,
    progress: Progress = lambda what, done, total: None,
) -> RidgeFit:
    """Fit translators of all depths in one pass over texts.

    Every tenth text is held out: its rows choose the strength of the penalty at each depth, by
    divergence from the final prediction. The rest is summed.

    Args:
        model: the frozen model.
        sequences: at least two texts.
        weights: how much rows count; ``None``: all the same.
        unfinished: where the sums are kept on the way; ``None``: nowhere.
        kept_rows: where rows are kept for a descent; ``None``: nowhere.
        progress: see `search_cluster.model.lens.fitting.unfinished.Progress`.

    Raises:
        InvalidValueError: there are too few texts, or a translator is not finite.
        NonFiniteLogitsError: a state leads to logits that are not finite.
    """
    split = split_sequences(sequences)
    done, state = (0, {}) if unfinished is None else unfinished.read()
    sums = RidgeSums.of(model, state)
    progress("texts", done, len(split.fitted))
    num_passed = 0
    for batch in batches_of(split.fitted):
        first = num_passed
        num_passed += sum(sequence.num_rows for sequence in split.fitted[batch])
        if batch.start < done:
            continue
        rows = read_rows(model, split.fitted[batch])
        weight_N = (weights or TokenWeights()).of_rows(model, rows.states_SND[-1], rows.next_N)
        sums.add(rows.states_SND, weight_N)
        if kept_rows is not None:  # before the sums are: what they say is done is on disk
            kept_rows.add(first, rows, weight_N)
        if unfinished is not None:
            unfinished.keep(batch.stop, sums.state())
        del rows  # before the next are read: a pass' states are many
        progress("texts", batch.stop, len(split.fitted))
    if unfinished is not None and done < len(split.fitted):
        unfinished.keep(len(split.fitted), sums.state(), now=True)
    held_out = HeldOutRows.read(model, split.held_out)
    return _chosen(model, sums, held_out, progress)


class RidgeSums:
    """Sums over rows, float64: weights, states, final states, and their products per depth.

    States are summed as their differences from the mean of the first rows. Some features have a
    mean a hundred times as large as their deviation, and float32 products of those would lose it.
    """

    def __init__(self, tensors: dict[str, Tensor], num_rows: int) -> None:
        self._tensors = tensors
        self.num_rows = num_rows

    @classmethod
    def of(cls, model: PreTrainedModel, state: dict[str, Tensor]) -> "RidgeSums":
        """Sums over no rows, or as `state` gave them."""
        return cls.of_depths(
            len(model.model.layers), int(model.config.hidden_size), state, model.device
        )

    @classmethod
    def of_depths(
        cls, num_layers: int, width: int, state: dict[str, Tensor], device: torch.device
    ) -> "RidgeSums":
        """The same for so many depths, behind which one more is what they are fitted to."""
        shapes = {
            "weight": (),
            "state_LD": (num_layers, width),
            "final_D": (width,),
            "origin_SD": (num_layers + 1, width),
            "square_LDD": (num_layers, width, width),
            "cross_LDD": (num_layers, width, width),
        }
        tensors = {
            name: state[name] if state else torch.zeros(shape, dtype=torch.float64)
            for name, shape in shapes.items()
        }
        num_rows = int(state["num_rows"]) if state else 0
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        return cls(tensors, num_rows)

    def add(self, states_SND: Tensor, weight_N: Tensor) -> None:
        """Add rows."""
        sums = self._tensors
        weight_N = weight_N.to(states_SND.device)
        if not self.num_rows:
            for depth, state_ND in enumerate(states_SND):
                sums["origin_SD"][depth] += state_ND.double().mean(dim=0)
        origin_SD = sums["origin_SD"].float()
        final_ND = states_SND[-1].float() - origin_SD[-1]
        sums["weight"] += weight_N.double().sum()
        sums["final_D"] += weight_N.double() @ final_ND.double()
        for depth in range(states_SND.shape[0] - 1):
            state_ND = states_SND[depth].float() - origin_SD[depth]  # one depth at a time is small
            weighed_ND = state_ND * weight_N[:, None]
            sums["state_LD"][depth] += weight_N.double() @ state_ND.double()
            sums["square_LDD"][depth] += weighed_ND.T @ state_ND
            sums["cross_LDD"][depth] += final_ND.T @ weighed_ND
        self.num_rows += states_SND.shape[1]

    def state(self) -> dict[str, Tensor]:
        """The sums by name, for `of`."""
        return {**self._tensors, "num_rows": torch.tensor(self.num_rows)}

    def moments(self, depth: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Float64 means over rows: the state, the final one, their product, the state's square."""
        sums, total = self._tensors, self._total()
        shift_D, final_shift_D = sums["state_LD"][depth] / total, sums["final_D"] / total
        state_D = shift_D + sums["origin_SD"].float()[depth]
        final_D = final_shift_D + sums["origin_SD"].float()[-1]
        # The sums are of differences from the origin; covariances do not depend on it.
        product = (sums["cross_LDD"][depth] / total).trace() - shift_D @ final_shift_D
        square = (sums["square_LDD"][depth] / total).trace() - shift_D @ shift_D
        return state_D, final_D, product + state_D @ final_D, square + state_D @ state_D

    def mean_change(self) -> Tensor:
        """The mean of final minus own state at each depth ``[L, D]``, float64."""
        sums = self._tensors
        origin_SD = sums["origin_SD"].float().double()
        change_LD = (sums["final_D"] - sums["state_LD"]) / self._total()
        return change_LD + origin_SD[-1] - origin_SD[:-1]

    def _total(self) -> Tensor:
        return self._tensors["weight"].clamp(min=torch.finfo(torch.float64).tiny)

    def solve(self, depth: int, strengths: Sequence[float]) -> tuple[list[Tensor], list[Tensor]]:
        """The weights ``[D, D]`` and biases ``[D]`` of a depth at each strength, float64."""
        sums = self._tensors
        total = self._total()
        state_D, final_D = sums["state_LD"][depth] / total, sums["final_D"] / total
        square_DD = sums["square_LDD"][depth] / total - torch.outer(state_D, state_D)
        square_DD = (square_DD + square_DD.T) / 2
        change_DD = sums["cross_LDD"][depth] / total - torch.outer(final_D, state_D) - square_DD
        value_D, vector_DD = torch.linalg.eigh(square_DD)
        # States without any variance, as at depth 0 of one token, leave nothing to divide by.
        unit = square_DD.diagonal().median().clamp(min=torch.finfo(torch.float32).tiny)
        turned_DD = change_DD @ vector_DD
        weights = [
            turned_DD / (value_D.clamp(min=0) + strength * unit) @ vector_DD.T
            for strength in strengths
        ]
        state_D = state_D + sums["origin_SD"].float()[depth]
        final_D = final_D + sums["origin_SD"].float()[-1]
        return weights, [final_D - state_D - weight_DD @ state_D for weight_DD in weights]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChosenTranslators:
    """The translators of the strengths that read some rows best, by depth."""

    lens: Lens
    strengths: tuple[float, ...]
    divergence: tuple[float, ...]
    """From the final prediction on these rows, in nats."""


def choose_translators(
    model: PreTrainedModel,
    sums: RidgeSums,
    states_SND: Tensor,
    strengths: Sequence[float],
    progress: Progress = lambda what, done, total: None,
) -> ChosenTranslators:
    """Solve each depth at all strengths, and take the one that reads rows best.

    Args:
        model: the frozen model.
        sums: over other rows.
        states_SND: the rows that choose, at each depth of the sums and then at the end.
        strengths: which to compare.
        progress: see `search_cluster.model.lens.fitting.unfinished.Progress`.

    Raises:
        InvalidValueError: a translator is not finite.
    """
    biases, chosen, divergences = [], [], []
    num_depths, width = states_SND.shape[0] - 1, states_SND.shape[2]
    # In place, because a list of them and then their stack would be all weights twice.
    weight_LDD = torch.empty(
        num_depths, width, width, dtype=torch.float32, device=states_SND.device
    )
    final = FinalPredictions(model, states_SND[-1])  # read once for all depths
    for depth in range(num_depths):
        weights_CDD, biases_CD = sums.solve(depth, strengths)
        lens = Lens(
            kind=LensKind.RIDGE,
            weight_LDD=torch.stack(weights_CDD).float(),
            bias_LD=torch.stack(biases_CD).float(),
        )
        read_C = final.divergences(
            [lens.translate(states_SND[depth], index) for index in range(len(strengths))]
        )
        best = int(read_C.argmin())
        weight_LDD[depth] = lens.weight_LDD[best]
        biases.append(lens.bias_LD[best])
        chosen.append(strengths[best])
        divergences.append(float(read_C[best]))
        progress("depths", depth + 1, num_depths)
    return ChosenTranslators(
        lens=_finite(Lens(kind=LensKind.RIDGE, weight_LDD=weight_LDD, bias_LD=torch.stack(biases))),
        strengths=tuple(chosen),
        divergence=tuple(divergences),
    )


def translators_of(sums: RidgeSums, strengths: Sequence[float]) -> Lens:
    """The translators of sums at strengths that are known, one for each depth, on the CPU.

    Raises:
        InvalidValueError: a translator is not finite.
    """
    solved = [sums.solve(depth, [strength]) for depth, strength in enumerate(strengths)]
    return _finite(
        Lens(
            kind=LensKind.RIDGE,
            weight_LDD=torch.stack([weights[0] for weights, _ in solved]).float().cpu(),
            bias_LD=torch.stack([biases[0] for _, biases in solved]).float().cpu(),
        )
    )


def _chosen(
    model: PreTrainedModel, sums: RidgeSums, held_out: HeldOutRows, progress: Progress
) -> RidgeFit:
    """The lens of the strengths that read held-out rows best."""
    found = choose_translators(model, sums, held_out.states_SND, STRENGTHS, progress)
    return RidgeFit(
        lens=found.lens,
        strengths=found.strengths,
        held_out_divergence=found.divergence,
        num_rows=sums.num_rows,
        mean_change_LD=sums.mean_change().float(),
        held_out=held_out,
    )


def _finite(lens: Lens) -> Lens:
    # The two ends are NaN if there is one; asking each number takes another array of all weights.
    if not all(bool(end.isfinite()) for end in lens.weight_LDD.aminmax()):
        raise InvalidValueError("a translator is not finite; fit it to more text")
    return lens
