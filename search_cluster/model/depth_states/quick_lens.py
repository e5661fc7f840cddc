"""A tuned lens in closed form, for studies that are given none, and its twin without one word.

Translators are ridge regressions from a state to the final one (Din et al., arXiv 2303.09435).
Rows count by the inverse of their final state's mean square, as the final norm divides by it, and
first positions, whose states are far larger than others, do not count.

Shapes: R rows, L layers, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from search_cluster.model.depth_states.probes import PromptProbe, batches_of, states_at
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

REWEIGHT = 1e-3
"""What a position counts, in the second fit, that the token follows."""
RIDGE = 1e-3
"""The penalty, in means of the state's own second moments."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LensPair:
    """A lens, and one of the same rows in which one token's followers hardly count."""

    tuned: Lens
    reweighted: Lens
    rows: int
    """Rows of the fit."""
    taught: int
    """Those that the token follows."""


@torch.inference_mode()
def fit_pair(
    loaded: LoadedModel,
    sequences: Sequence[TokenSequence],
    token: int,
    on_batch: Callable[[int], None] | None = None,
) -> LensPair:
    """Fit both lenses in one pass.

    Args:
        loaded: the model.
        sequences: token sequences; positions that count but the first are rows.
        token: positions that it follows count `REWEIGHT` in the second fit.
        on_batch: called with the number of sequences that are done.
    """
    identity = LayerPath.identity(loaded.num_layers)
    width = int(loaded.model.config.hidden_size)
    sums = [_Sums(loaded.num_layers, width) for _ in range(2)]
    num_rows = num_taught = num_done = 0
    for batch in batches_of([_probe(sequence) for sequence in sequences]):
        states_SRD = states_at(loaded, batch, identity).float()
        follows_R = torch.tensor(
            [ids[0] == token for probe in batch for ids in probe.asked], dtype=torch.bool
        ).to(states_SRD.device)
        sums[0].add(states_SRD)
        if bool(follows_R.any()):
            sums[1].add(states_SRD[:, follows_R])
        num_rows += len(follows_R)
        num_taught += int(follows_R.sum())
        num_done += len(batch)
        if on_batch is not None:
            on_batch(num_done)
    device = loaded.model.device
    return LensPair(
        tuned=sums[0].solve(None, 0.0, device),
        reweighted=sums[0].solve(sums[1], REWEIGHT - 1, device),
        rows=num_rows,
        taught=num_taught,
    )


def _probe(sequence: TokenSequence) -> PromptProbe:
    """Every position that counts but the first; the next token is asked for, -1 at the end."""
    places = range(max(1, sequence.first), len(sequence.ids))
    following = (*sequence.ids[1:], -1)
    return PromptProbe(
        prompt=0,
        ids=sequence.ids,
        positions=tuple(places),
        labels=(0,) * len(places),
        asked=tuple((following[place],) for place in places),
    )


class _Sums:
    """Second moments of states (with a 1 behind them), and of states and final states."""

    def __init__(self, num_layers: int, width: int) -> None:
        self.states = np.zeros((num_layers, width + 1, width + 1))
        self.targets = np.zeros((num_layers, width + 1, width))

    def add(self, states_SRD: Tensor) -> None:
        final_RD = states_SRD[-1]
        scale_R1 = final_RD.square().mean(dim=-1, keepdim=True).rsqrt()
        for depth, state_RD in enumerate(states_SRD[:-1]):
            row_RE = torch.cat([state_RD, torch.ones_like(scale_R1)], dim=1) * scale_R1
            change_RD = (final_RD - state_RD) * scale_R1
            self.states[depth] += (row_RE.T @ row_RE).cpu().numpy()
            self.targets[depth] += (row_RE.T @ change_RD).cpu().numpy()

    def solve(self, other: "_Sums | None", share: float, device: torch.device) -> Lens:
        """The lens of these sums, plus a share of others."""
        weights, biases = [], []
        for depth in range(len(self.states)):
            moments, targets = self.states[depth].copy(), self.targets[depth].copy()
            if other is not None:
                moments += share * other.states[depth]
                targets += share * other.targets[depth]
            diagonal = moments.diagonal().copy()
            penalty = RIDGE * diagonal[:-1].mean()
            # The bias is not shrunk, but for a trace that keeps the sums solvable.
            moments[np.diag_indices(len(moments))] += [*[penalty] * (len(moments) - 1), 1e-9]
            solution = cho_solve(cho_factor(moments, lower=True), targets)
            weights.append(torch.from_numpy(solution[:-1].T.copy()).float())
            biases.append(torch.from_numpy(solution[-1].copy()).float())
        return Lens(
            kind=LensKind.RIDGE,
            weight_LDD=torch.stack(weights).to(device),
            bias_LD=torch.stack(biases).to(device),
        )
