"""Bridges by distillation: descent on how far a path's predictions are from the full model's.

The closed form (`search_cluster.model.bridge.fitting`) asks where a state would have been behind
the layers that are left out. What counts is what the rest of the path makes of it: so the gradient
of the divergence passes through the frozen layers behind the jump, the final norm and the head, and
nothing moves but the maps. The texts need no labels.

The descent moves ``V`` and ``c`` in ``h + W h + b + s (V u + c)``, where ``u`` is the state before
the jump with each feature at mean 0 and deviation 1, and ``s`` the median of these deviations, so
that one rate suits all models and depths. What comes out is an affine map again.

Shapes: B sequences, T tokens, N positions that count, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.bridged_spec import BridgeKind
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.bridge.divergence import final_states, mean_divergences, trunk_of
from search_cluster.model.bridge.fitting import BridgeFit, choosing_texts
from search_cluster.model.lens.fitting.divergence import CHUNK_ROWS, FinalPrediction, lens_logits
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.fitting.moved import (
    SMALLEST_DEVIATION,
    MovedTensors,
    warmed_rate,
)
from search_cluster.model.lens.fitting.rows import batches_of, padded, read_rows
from search_cluster.model.lens.fitting.unfinished import UnfinishedFit
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.jumps import Jump, jumps_of
from search_cluster.paths.layer_path import LayerPath

TOKENS_PER_STEP = 512
"""The largest number of tokens of a step, padding included, unless one text has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationSettings:
    """How to descend. A step is a pass over neighbouring texts, of `TOKENS_PER_STEP` tokens."""

    num_epochs: int = 4
    """How often each text is seen, at most."""
    rate: float = 1e-3
    """Adam's rate after the warm-up; it falls linearly to 0."""
    warm_up: float = 0.05
    """The share of the steps in which the rate grows from 0."""
    steps_per_reading: int = 10
    """Steps between two readings of the texts that choose."""
    patience: int = 3
    """The readings without a lower divergence before it stops."""
    seed: int = 0
    """Draws the order of texts."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Distillation:
    """What a descent found."""

    fit: BridgeFit
    """The trained bridges, with the closed form among what costs as much."""
    start: BridgeKind | None
    """What the descent began with: the closed form, or ``None``: maps of zeros, where the path
    alone is nearer to the full model."""
    best_step: int
    """The step that the bridges are from; 0: where it started."""
    num_steps: int
    """The steps that were taken."""
    divergence_before: float
    """KL(full model || path) at the start, in nats, in the mean over the paths, of the texts that
    choose."""
    divergence: float
    """The same after the best step; never higher."""


def distil_bridges(
    model: PreTrainedModel,
    paths: Sequence[LayerPath],
    sequences: Sequence[TokenSequence],
    closed: BridgeFit,
    *,
    settings: DistillationSettings,
    unfinished: UnfinishedFit | None = None,
    progress: Callable[[int, int], None] = lambda step, num_steps: None,
) -> Distillation:
    """Train bridges for all jumps of some paths; equal inputs give equal bytes on one machine.

    Texts that `fit_bridges` was fitted to teach, and those that chose its strengths choose the
    step, by the mean divergence over the paths.

    Args:
        model: the frozen model, without bridges.
        paths: what will cross them.
        sequences: the texts that `closed` was fitted to.
        closed: linear maps in closed form, to start from.
        settings: how to descend.
        unfinished: where the state is kept on the way; ``None``: nowhere.
        progress: is told the steps so far and those of all.

    Raises:
        InvalidValueError: there are too few texts.
        NonFiniteLogitsError: a state leads to logits that are not finite.
    """
    split = split_sequences(sequences)
    choosing = choosing_texts(split.held_out)
    batches = list(batches_of(split.fitted, TOKENS_PER_STEP))
    start, start_kind = _nearest_start(model, paths, closed.bridges, choosing)
    descent = _BridgeDescent(model, paths, start, split.fitted, choosing)
    num_steps = settings.num_epochs * len(batches)
    done, state = (0, {}) if unfinished is None else unfinished.read()
    if state:
        descent.restore(state)
    else:
        descent.read_held_out(0)
    longest = settings.patience * settings.steps_per_reading
    step = done
    while step < num_steps and step - descent.best_step < longest:
        epoch, place = divmod(step, len(batches))
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(batches))
        rate = warmed_rate(settings.rate, settings.warm_up, step, num_steps)
        descent.step(split.fitted[batches[order[place]]], rate=rate)
        step += 1
        if step % settings.steps_per_reading == 0 or step == num_steps:
            descent.read_held_out(step)
        if unfinished is not None:
            unfinished.keep(step, descent.state())
        progress(step, num_steps)
    if unfinished is not None:
        unfinished.keep(step, descent.state(), now=True)
    return Distillation(
        fit=replace(
            closed,
            bridges=descent.best(),
            at_equal_cost={**closed.at_equal_cost, BridgeKind.LINEAR: closed.bridges},
        ),
        start=start_kind,
        best_step=descent.best_step,
        num_steps=step,
        divergence_before=descent.first_divergence,
        divergence=descent.best_divergence,
    )


def _nearest_start(
    model: PreTrainedModel,
    paths: Sequence[LayerPath],
    closed: Bridges,
    choosing: Sequence[TokenSequence],
) -> tuple[Bridges, BridgeKind | None]:
    with_closed, alone = mean_divergences(model, paths, [closed, None], choosing)
    if with_closed <= alone:
        return closed, closed.kind
    nothing = {
        jump: (torch.zeros(closed.width, closed.width), torch.zeros(closed.width))
        for jump in closed.jumps
    }
    return Bridges(nothing), None


class _BridgeDescent:
    """The maps on their way."""

    def __init__(
        self,
        model: PreTrainedModel,
        paths: Sequence[LayerPath],
        start: Bridges,
        fitted: Sequence[TokenSequence],
        choosing: Sequence[TokenSequence],
    ) -> None:
        self._model, self._paths, self._choosing = model, paths, choosing
        device = model.device
        self._start = {
            jump: (weight_DD.to(device), bias_D.to(device))
            for jump in start.jumps
            for weight_DD, bias_D in (start.tensors(jump),)
        }
        self._bridges = Bridges(self._start, BridgeKind.DISTILLED).to(device)
        sample = next(batches_of(fitted))
        states_SND = read_rows(model, fitted[sample]).states_SND.float()
        self._mean_D: dict[Jump, Tensor] = {}
        self._deviation_D: dict[Jump, Tensor] = {}
        moved: dict[str, Tensor] = {}
        for jump in start.jumps:
            deviation_D, mean_D = torch.std_mean(states_SND[jump.before + 1], dim=0, correction=0)
            self._mean_D[jump] = mean_D
            self._deviation_D[jump] = deviation_D.clamp(min=SMALLEST_DEVIATION)
            moved[f"{jump}.V"] = torch.zeros(start.width, start.width, device=device)
            moved[f"{jump}.c"] = torch.zeros(start.width, device=device)
        self._moved = MovedTensors(moved)
        self.best_step = 0
        self.best_divergence = self.first_divergence = float("inf")

    def step(self, sequences: Sequence[TokenSequence], *, rate: float) -> None:
        """One step of Adam on the mean divergence over the positions of some texts."""
        batch = padded(sequences, self._model.device)
        for tensor in self._moved.now.values():
            tensor.requires_grad_().grad = torch.zeros_like(tensor)
        for path in self._paths:
            names = [f"{jump}.{part}" for jump in jumps_of(path) for part in "Vc"]
            if not names:
                continue
            self._place(self._moved.now)  # anew: each path has a graph of its own
            with torch.no_grad():
                trunk, shared = trunk_of(self._model, path, batch)
                rest = range(shared, len(self._model.model.layers))
                full_ND = final_states(trunk, None, rest, batch.counts_BT)
            along_ND = final_states(trunk, self._bridges, path.layers[shared:], batch.counts_BT)
            moved = [self._moved.now[name] for name in dict.fromkeys(names)]
            gradients = torch.autograd.grad(along_ND, moved, self._slope(full_ND, along_ND))
            for tensor, gradient in zip(moved, gradients, strict=True):
                assert tensor.grad is not None
                tensor.grad += gradient / len(self._paths)
        for tensor in self._moved.now.values():
            tensor.requires_grad_(False)
        self._moved.step(rate)

    def read_held_out(self, step: int) -> None:
        """Read the texts that choose, and keep the maps if they are the best so far."""
        self._place(self._moved.now)
        (found,) = mean_divergences(self._model, self._paths, [self._bridges], self._choosing)
        if step == 0:
            self.first_divergence = found
        if found < self.best_divergence:
            self.best_divergence, self.best_step = found, step
            self._moved.best = {name: tensor.clone() for name, tensor in self._moved.now.items()}

    def best(self) -> Bridges:
        """The best bridges so far."""
        self._place(self._moved.best)
        return self._bridges

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        read = [self.best_step, self.best_divergence, self.first_divergence]
        return {
            **self._moved.state(),
            "read": torch.tensor(read, dtype=torch.float64),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a state that `state` gave."""
        self._moved.restore(state)
        best_step, self.best_divergence, self.first_divergence = state["read"].tolist()
        self.best_step = int(best_step)

    def _slope(self, full_ND: Tensor, along_ND: Tensor) -> Tensor:
        """The gradient of the mean divergence by the path's final states ``[N, D]``.

        It is formed chunk by chunk, so that logits of few rows are in memory at once.
        """
        slopes: list[Tensor] = []
        for start in range(0, len(full_ND), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            with torch.no_grad():
                full = FinalPrediction.of(self._model, full_ND[rows])
            state_ND = along_ND[rows].detach().requires_grad_()
            read_N = full.divergence(lens_logits(self._model, state_ND))
            slopes += torch.autograd.grad(read_N.sum() / len(full_ND), state_ND)
        return torch.cat(slopes)

    def _place(self, moved: dict[str, Tensor]) -> None:
        """Let the bridges be what was moved so far, with gradients where it has some."""
        for jump, (weight_DD, bias_D) in self._start.items():
            bridge = self._bridges.at(*jump)
            assert bridge is not None
            unit = self._deviation_D[jump].median()
            added_DD = unit * moved[f"{jump}.V"] / self._deviation_D[jump]
            bridge.weight_DD = weight_DD + added_DD
            bridge.bias_D = bias_D + unit * moved[f"{jump}.c"] - added_DD @ self._mean_D[jump]
