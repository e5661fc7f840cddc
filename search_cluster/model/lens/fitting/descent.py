"""Translators by descent: on the divergence from the final prediction, or on the true next token.

The descent starts from translators in closed form. It moves ``V`` and ``c`` in
``h + W h + b + V u + c``, where ``u`` is the state with each feature at mean 0 and deviation 1, so
that one rate suits all features and depths (features of states differ in size by a thousand). What
comes out is ``W + V / deviation`` with the bias that belongs to it. Logits are of the full
vocabulary, in float32. Held-out rows are read every few steps, and each depth keeps the translator
that read them best, the first one included.

Shapes: S states of a position, L depths with a translator, N rows, D width.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.lens.fitting.divergence import FinalPrediction, cross_entropy, lens_logits
from search_cluster.model.lens.fitting.held_out import HeldOutRows
from search_cluster.model.lens.fitting.moved import (
    SMALLEST_DEVIATION,
    MovedTensors,
    warmed_rate,
)
from search_cluster.model.lens.fitting.rows import NO_TOKEN
from search_cluster.model.lens.fitting.rows_on_disk import RowsOnDisk
from search_cluster.model.lens.fitting.unfinished import UnfinishedFit
from search_cluster.model.lens.lens import Lens, LensKind

DEVIATION_ROWS = 4096
"""The rows from which the deviations of features are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentSettings:
    """How to descend."""

    num_epochs: int = 2
    """How often each row is seen."""
    rows_per_step: int = 256
    """Rows whose mean gradient is one step."""
    rate: float = 1e-3
    """Adam's rate after the warm-up; it falls linearly to 0."""
    warm_up: float = 0.05
    """The share of the steps in which the rate grows from 0."""
    steps_per_reading: int = 16
    """Steps between two readings of the held-out rows."""
    seed: int = 0
    """Draws the order of rows."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DescentFit:
    """What a descent found."""

    lens: Lens
    best_steps: tuple[int, ...]
    """The step that each depth's translator is from; 0: where it started."""
    loss_before: tuple[float, ...]
    """The mean loss on held-out rows at the start, by depth, in nats."""
    loss: tuple[float, ...]
    """The same after the best step."""


def descend(
    model: PreTrainedModel,
    start: Lens,
    kind: LensKind,
    rows: RowsOnDisk,
    held_out: HeldOutRows,
    *,
    settings: DescentSettings,
    unfinished: UnfinishedFit | None = None,
    progress: Callable[[int, int], None] = lambda step, num_steps: None,
) -> DescentFit:
    """Improve translators on rows; held-out rows decide which step each depth takes.

    Args:
        model: the frozen model.
        start: the translators to start from.
        kind: `LensKind.KL`, `LensKind.CE`, or `LensKind.BIAS`, for which only biases move.
        rows: the rows to learn from.
        held_out: the rows to choose by.
        settings: how to descend.
        unfinished: where the state is kept on the way; ``None``: nowhere.
        progress: is told the steps so far and those of all.

    Raises:
        NonFiniteLogitsError: a lens leads to logits that are not finite.
    """
    descent = _Descent(model, start, kind, rows, held_out)
    steps_per_epoch = -(-rows.num_rows // settings.rows_per_step)
    num_steps = settings.num_epochs * steps_per_epoch
    done, state = (0, {}) if unfinished is None else unfinished.read()
    if state:
        descent.restore(state)
    else:
        descent.read_held_out(0)
    for step in range(done, num_steps):
        epoch, place = divmod(step, steps_per_epoch)
        order = np.random.default_rng([settings.seed, epoch]).permutation(rows.num_rows)
        taken = order[place * settings.rows_per_step :][: settings.rows_per_step]
        rate = warmed_rate(settings.rate, settings.warm_up, step, num_steps)
        descent.step(sorted(taken.tolist()), rate=rate)
        if (step + 1) % settings.steps_per_reading == 0 or step + 1 == num_steps:
            descent.read_held_out(step + 1)
        if unfinished is not None:
            unfinished.keep(step + 1, descent.state())
        progress(step + 1, num_steps)
    return descent.result()


class _Descent:
    """The translators on their way."""

    def __init__(
        self,
        model: PreTrainedModel,
        start: Lens,
        kind: LensKind,
        rows: RowsOnDisk,
        held_out: HeldOutRows,
    ) -> None:
        self._model, self._start, self._kind = model, start, kind
        self._rows, self._held_out = rows, held_out
        sample_SND, _, _ = rows.read(range(min(rows.num_rows, DEVIATION_ROWS)))
        device = model.device
        self._mean_LD = sample_SND[:-1].mean(dim=1).to(device)
        deviation_LD = sample_SND[:-1].std(dim=1, correction=0)
        self._deviation_LD = deviation_LD.clamp(min=SMALLEST_DEVIATION).to(device)
        # Copies: what the model gives in inference mode takes no part in a descent.
        zero_LDD = torch.zeros(start.weight_LDD.shape, device=device)
        self._moved = MovedTensors(
            {
                "V_LDD": zero_LDD[:, :0, :0] if kind is LensKind.BIAS else zero_LDD,
                "c_LD": torch.zeros(start.bias_LD.shape, device=device),
            }
        )
        num_layers = start.num_layers
        self._best_step_L = torch.zeros(num_layers, dtype=torch.long)
        self._best_loss_L = torch.full((num_layers,), torch.inf, dtype=torch.float64)
        self._first_loss_L = self._best_loss_L.clone()

    def step(self, indices: list[int], *, rate: float) -> None:
        """One step of Adam on the mean loss over some rows."""
        states_SND, next_N, weight_N = self._rows.read(indices)
        states_SND = states_SND.to(self._model.device)
        weight_N = self._share(weight_N, next_N).to(states_SND.device)
        reference = self._reference(states_SND[-1], next_N)
        for tensor in self._moved.now.values():
            tensor.grad = torch.zeros_like(tensor)
        for depth in range(self._start.num_layers):
            parts = [tensor[depth].requires_grad_() for tensor in self._moved.now.values()]
            state_ND = self._translated(states_SND[depth], depth, *parts)
            loss = (self._loss_of(state_ND, reference) * weight_N).sum()
            wanted = [part for part in parts if part.numel()]
            for part, gradient in zip(wanted, torch.autograd.grad(loss, wanted), strict=True):
                name = "V_LDD" if part.dim() == 2 else "c_LD"
                grad = self._moved.now[name].grad
                assert grad is not None
                grad[depth] = gradient
        self._moved.step(rate)

    @torch.no_grad()
    def read_held_out(self, step: int) -> None:
        """Read the held-out rows, and keep each depth's translator if it is the best so far."""
        states_SND, next_N = self._held_out.states_SND.float(), self._held_out.next_N
        weight_N = self._share(torch.ones(next_N.shape[0]), next_N).double()
        chunk = 256
        loss_L = torch.zeros(self._start.num_layers, dtype=torch.float64)
        for begin in range(0, next_N.shape[0], chunk):
            part = slice(begin, begin + chunk)
            reference = self._reference(states_SND[-1, part], next_N[part])
            for depth in range(self._start.num_layers):
                moved = [tensor[depth] for tensor in self._moved.now.values()]
                state_ND = self._translated(states_SND[depth, part], depth, *moved)
                loss_N = self._loss_of(state_ND, reference)
                loss_L[depth] += (loss_N.double().cpu() * weight_N[part]).sum()
        better_L = loss_L < self._best_loss_L
        for name, tensor in self._moved.now.items():
            self._moved.best[name][better_L.to(tensor.device)] = tensor[better_L.to(tensor.device)]
        self._best_loss_L[better_L] = loss_L[better_L]
        self._best_step_L[better_L] = step
        if step == 0:
            self._first_loss_L = loss_L

    def result(self) -> DescentFit:
        """The best translators."""
        weight_LDD, bias_LD = self._start.weight_LDD, self._start.bias_LD + self._moved.best["c_LD"]
        if self._kind is not LensKind.BIAS:
            added_LDD = self._moved.best["V_LDD"] / self._deviation_LD[:, None]
            weight_LDD = weight_LDD + added_LDD
            bias_LD = bias_LD - (added_LDD @ self._mean_LD[..., None])[..., 0]
        return DescentFit(
            lens=Lens(kind=self._kind, weight_LDD=weight_LDD, bias_LD=bias_LD),
            best_steps=tuple(self._best_step_L.tolist()),
            loss_before=tuple(self._first_loss_L.tolist()),
            loss=tuple(self._best_loss_L.tolist()),
        )

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        return {
            **self._moved.state(),
            "best_step_L": self._best_step_L,
            "best_loss_L": self._best_loss_L,
            "first_loss_L": self._first_loss_L,
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state that `state` gave."""
        self._moved.restore(state)
        self._best_step_L, self._best_loss_L = state["best_step_L"], state["best_loss_L"]
        self._first_loss_L = state["first_loss_L"]

    def _share(self, weight_N: Tensor, next_N: Tensor) -> Tensor:
        """The part of each row in the mean; rows without a next token have none where it counts."""
        if self._kind is LensKind.CE:
            weight_N = weight_N * (next_N != NO_TOKEN)
        return weight_N / weight_N.sum().clamp(min=torch.finfo(torch.float32).tiny)

    @torch.no_grad()
    def _reference(self, final_ND: Tensor, next_N: Tensor) -> FinalPrediction | Tensor:
        """What a loss compares with: the final prediction, or the true tokens."""
        if self._kind is LensKind.CE:
            return next_N.clamp(min=0).to(final_ND.device)
        return FinalPrediction.of(self._model, final_ND.to(self._model.dtype))

    def _loss_of(self, state_ND: Tensor, reference: FinalPrediction | Tensor) -> Tensor:
        logits_NV = lens_logits(self._model, state_ND.to(self._model.dtype))
        if isinstance(reference, Tensor):
            return cross_entropy(logits_NV, reference)
        return reference.divergence(logits_NV)

    def _translated(self, state_ND: Tensor, depth: int, V_DD: Tensor, c_D: Tensor) -> Tensor:
        translated_ND = self._start.translate(state_ND, depth) + c_D
        if self._kind is LensKind.BIAS:
            return translated_ND
        even_ND = (state_ND - self._mean_LD[depth]) / self._deviation_LD[depth]
        return translated_ND + even_ND @ V_DD.T
