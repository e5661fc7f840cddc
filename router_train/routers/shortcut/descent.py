"""Teaching a readout: AdamW on units of questions and texts, stopped by others.

A readout that begins as nothing has the path alone as its epoch 0; if no epoch is better on the
questions that stop the descent, it stays nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from router_train.config import FitConfig
from router_train.routers.shortcut.losses import Judge, chunks
from router_train.routers.shortcut.readouts import Readout
from router_train.routers.shortcut.rows import Unit
from search_cluster.console import track
from search_cluster.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """How a descent went."""

    best_epoch: int
    """0: nothing was better than the path alone."""
    num_epochs: int
    loss_before: float
    """The mean loss of the units that stop it, at the start."""
    loss: float
    """The same after the best epoch."""


def teach(
    judge: Judge,
    readout: Readout,
    teaching: Sequence[Unit],
    stopping: Sequence[Unit],
    config: FitConfig,
    tell: Callable[[Mapping[str, float]], None] | None = None,
    *,
    name: str,
) -> Taught:
    """Move a readout's tensors, in place, to where the stopping units' mean loss was lowest.

    The seed draws the order of units; equal inputs give equal bytes.

    Args:
        judge: norm, head and rows.
        readout: what is taught.
        teaching: the units that teach.
        stopping: other units.
        config: epochs, patience, batch size, rate and decay.
        tell: takes a row of the curve per epoch; ``None``: nobody does.
        name: what the readout is called in messages.

    Raises:
        ConfigError: the loss is not finite.
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    moved = [tensor.requires_grad_() for tensor in readout.trained()]
    optimizer = AdamW(moved, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = -(-len(teaching) // config.batch_size)
    schedule = CosineAnnealingLR(optimizer, T_max=config.epochs * steps)
    shuffler = torch.Generator().manual_seed(config.seed)
    before = best = judge.mean_loss(readout, stopping)
    best_epoch, epoch = 0, 0
    kept = [tensor.detach().clone() for tensor in moved]
    for epoch in track(range(1, config.epochs + 1), f"epochs of the {name}"):
        total = 0.0
        order = torch.randperm(len(teaching), generator=shuffler).tolist()
        for first in range(0, len(order), config.batch_size):
            batch = [teaching[place] for place in order[first : first + config.batch_size]]
            optimizer.zero_grad(set_to_none=True)
            for part in chunks(batch):
                loss = judge.losses(readout, part).sum() / len(batch)
                gradients = torch.autograd.grad(loss, moved, allow_unused=True)
                for tensor, gradient in zip(moved, gradients, strict=True):
                    if gradient is not None:
                        tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
                total += float(loss.detach()) * len(batch)
            optimizer.step()
            schedule.step()
        stopped = judge.mean_loss(readout, stopping)
        if not math.isfinite(stopped) or not math.isfinite(total):
            raise ConfigError(
                f"the loss of epoch {epoch} is {total / len(teaching)} (teaching) and {stopped} "
                f"(stopping); it must be finite: lower the learning rate "
                f"({config.learning_rate:g})"
            )
        if tell is not None:
            tell(
                {
                    "epoch": epoch,
                    "train_loss": total / len(teaching),
                    "validation_loss": stopped,
                    "validation_loss_before": before,
                }
            )
        if stopped < best:
            best, best_epoch = stopped, epoch
            kept = [tensor.detach().clone() for tensor in moved]
        if epoch - best_epoch >= config.patience:
            break
    with torch.no_grad():
        for tensor, best_tensor in zip(moved, kept, strict=True):
            tensor.requires_grad_(False).copy_(best_tensor)
            tensor.grad = None
    return Taught(best_epoch=best_epoch, num_epochs=epoch, loss_before=before, loss=best)
