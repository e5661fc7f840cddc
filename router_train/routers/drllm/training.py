"""The training loop: AdamW on the focal loss, cosine schedule, early stopping.

The frozen model is not involved any more.

Shapes: N examples, L layers, C = 3 decisions.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from router_train.config import BALANCE_INVERSE, FitConfig
from router_train.data.features import Features
from router_train.distributed import current_process_group
from router_train.routers.drllm.losses import (
    effective_number_weights,
    focal_loss,
    inverse_frequency_weights,
)
from router_train.routers.drllm.network import LayerRouters
from search_cluster.console import track
from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import EXECUTE

EVALUATION_BATCH = 256
"""The number of examples per step where no gradient is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """How good the routers are after one epoch, under teacher forcing. Shares lie in [0, 1]."""

    epoch: int
    """The number of the epoch, from 1."""
    train_loss: float
    """The mean over the epoch's steps, while the weights moved."""
    validation_loss: float
    validation_accuracy: float
    """The share of (example, layer) decisions that equal the label."""
    validation_always_execute: float
    """The same share for a router that executes every layer once: what has to be beaten."""
    validation_path_accuracy: float
    """The share of examples whose decisions all equal the label."""
    validation_changed_recall: float
    """The share of labelled skips and repeats that are decided so; 1 if there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """The routers of the best epoch."""

    routers: LayerRouters
    best: EpochMetrics


def train_routers(
    train: Features,
    validation: Features,
    *,
    class_counts: Sequence[int],
    config: FitConfig,
    device: torch.device,
    on_epoch: Callable[[EpochMetrics], None],
) -> TrainResult:
    """Train until the validation loss has not fallen for ``config.patience`` epochs.

    Returns the weights of the best epoch.

    The same inputs give the same weights on the same device and library versions. Global random
    state is left alone. Processes of a group share the rows of every batch; all of them return the
    same routers, those of one process up to rounding.

    Raises:
        ConfigError: the loss is not finite.
    """
    routers = _initial_routers(train, config).to(device)
    weights_C = _class_weights(class_counts, config).to(device)
    optimizer = AdamW(
        routers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps_per_epoch = -(-len(train.decisions_NL) // config.batch_size)
    schedule = CosineAnnealingLR(optimizer, T_max=config.epochs * steps_per_epoch)
    shuffler = torch.Generator().manual_seed(config.seed)

    group = current_process_group()
    best: EpochMetrics | None = None
    best_state = deepcopy(routers.state_dict())
    for epoch in track(range(1, config.epochs + 1), "epochs"):
        order = torch.randperm(len(train.decisions_NL), generator=shuffler)
        losses = []
        for rows in torch.split(order, config.batch_size):
            own = group.share(rows)
            optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=device)
            if len(own):
                logits_NLC = routers(train.windows_NLWD[own].to(device))
                loss = focal_loss(
                    logits_NLC, train.decisions_NL[own].to(device), weights_C, config.focal_gamma
                )
                loss = loss * (
                    len(own) / len(rows)
                )  # means of parts add up to the mean of the batch
                torch.autograd.backward(loss)
            group.add_up_gradients(routers)
            optimizer.step()
            schedule.step()
            losses.append(group.add_up(loss.detach()))
        metrics = _metrics(
            routers, validation, weights_C, config, epoch, float(torch.stack(losses).mean())
        )
        on_epoch(metrics)
        if best is None or metrics.validation_loss < best.validation_loss:
            best, best_state = metrics, deepcopy(routers.state_dict())
        if epoch - best.epoch >= config.patience:
            break
    assert best is not None, "there is at least one epoch"
    routers.load_state_dict(best_state)
    return TrainResult(routers=routers.eval().requires_grad_(False), best=best)


def _class_weights(class_counts: Sequence[int], config: FitConfig) -> Tensor:
    if config.class_balance == BALANCE_INVERSE:
        return inverse_frequency_weights(class_counts)
    return effective_number_weights(class_counts, config.effective_beta)


def _initial_routers(train: Features, config: FitConfig) -> LayerRouters:
    num_layers, _, width = train.windows_NLWD.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        routers = LayerRouters(num_layers, width, config.bottleneck)
    if config.standardise:
        routers.standardise(train.windows_NLWD)
    return routers


def _metrics(
    routers: LayerRouters,
    features: Features,
    weights_C: Tensor,
    config: FitConfig,
    epoch: int,
    train_loss: float,
) -> EpochMetrics:
    with torch.no_grad():
        parts = [
            routers(part.to(weights_C.device))
            for part in torch.split(features.windows_NLWD, EVALUATION_BATCH)
        ]
    logits_NLC, labels_NL = torch.cat(parts).cpu(), features.decisions_NL
    validation_loss = float(focal_loss(logits_NLC, labels_NL, weights_C.cpu(), config.focal_gamma))
    if not (torch.tensor([train_loss, validation_loss]).isfinite().all()):
        raise ConfigError(
            f"the loss of epoch {epoch} is {train_loss} (training) and {validation_loss} "
            f"(validation); it must be finite: lower the learning rate ({config.learning_rate:g})"
        )
    hits_NL = logits_NLC.argmax(dim=-1) == labels_NL
    changed_NL = labels_NL != EXECUTE
    return EpochMetrics(
        epoch=epoch,
        train_loss=train_loss,
        validation_loss=validation_loss,
        validation_accuracy=float(hits_NL.float().mean()),
        validation_always_execute=float((~changed_NL).float().mean()),
        validation_path_accuracy=float(hits_NL.all(dim=-1).float().mean()),
        validation_changed_recall=float(hits_NL[changed_NL].float().mean())
        if bool(changed_NL.any())
        else 1.0,
    )
