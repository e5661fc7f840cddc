"""What a descent moves: tensors that Adam steps, the best of them so far, and both on disk."""

from collections.abc import Mapping

import torch
from torch import Tensor

SMALLEST_DEVIATION = 1e-6
"""Features that differ less are divided by this."""


def warmed_rate(rate: float, warm_up: float, step: int, num_steps: int) -> float:
    """The rate of a step: it grows from 0 for a while, and falls linearly to 0.

    Args:
        rate: the largest.
        warm_up: the share of the steps in which it grows.
        step: from 0 on.
        num_steps: of the descent.
    """
    growing = max(1.0, warm_up * num_steps)
    return rate * min((step + 1) / growing, (num_steps - step) / num_steps)


class MovedTensors:
    """Tensors by name, and what Adam knows of them.

    Args:
        start: where they begin; they are moved in place.
    """

    def __init__(self, start: Mapping[str, Tensor]) -> None:
        self.now = dict(start)
        """Where they are."""
        self.best = {name: tensor.clone() for name, tensor in self.now.items()}
        """Where they were best; the descent's to set."""
        self._adam = torch.optim.Adam(list(self.now.values()))

    def step(self, rate: float) -> None:
        """Move them along their gradients."""
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        adam = {
            f"{name}.{what}": value
            for name, tensor in self.now.items()
            for what, value in self._adam.state[tensor].items()
        }
        return {
            **self.now,
            **{f"{name}.best": tensor for name, tensor in self.best.items()},
            **adam,
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state that `state` gave."""
        for name, tensor in self.now.items():
            tensor.copy_(state[name])
            self.best[name].copy_(state[f"{name}.best"])
            self._adam.state[tensor] = {
                what: state[f"{name}.{what}"].to("cpu" if what == "step" else tensor.device)
                for what in ("exp_avg", "exp_avg_sq", "step")
            }
