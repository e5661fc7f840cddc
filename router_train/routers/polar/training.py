"""Training a `PolarRouter` on the segments of the labels' paths.

Shapes: N examples, T tokens (padded), D model width, M layers that are decided, C = 3 operations.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from router_train.config import FitConfig
from router_train.data.feature_store import stored_parts
from router_train.data.labels import PathLabel
from router_train.data.prompt_states import prompt_states
from router_train.distributed import current_process_group
from router_train.routers.base import FitInputs, Fitted, Settings
from router_train.routers.curve import CurveWriter
from router_train.routers.polar.network import NUM_HEADS, PolarNetwork
from router_train.routers.polar.router import PolarRouter, restore_polar
from router_train.routers.threshold import tune_threshold, validation_examples
from search_cluster.console import track
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import PROMPTING_VERSION, encode_example
from search_cluster.paths.layer_path import EXECUTE

BEAM = 5
LAYERS_PER_LAYER_READ = 6
"""One layer in this many is read, unless ``feature_layer`` says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentData:
    """What the network reads and what it should say."""

    tokens: tuple[Tensor, ...]
    """The states ``[T, D]`` of each example's prompt."""
    operations_NM: Tensor
    """The labels of the decided layers, as int64."""

    def starts(self) -> Tensor:
        """Where another operation begins than the one before. Shape ``[N, M]``.

        Before the first decided layer, layers run once.
        """
        before_NM = functional.pad(self.operations_NM[:, :-1], (1, 0), value=EXECUTE)
        return self.operations_NM != before_NM


@dataclass(frozen=True, slots=True, kw_only=True)
class PolarEpoch:
    """How good the network is after one epoch."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_operation_accuracy: float
    """The share of decided layers' operations that are right, where a segment starts."""


@dataclass(frozen=True, slots=True)
class PolarKind:
    """The kind that trains and restores `PolarRouter`."""

    name: str = "polar"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """Train with early stopping, then choose the threshold.

        Raises:
            ConfigError: the model is too shallow for ``feature_layer``, or the loss is not finite.
        """
        loaded, config = inputs.loaded, inputs.config
        assert loaded is not None, "the kind says that it needs a model"
        default_read = max(1, loaded.num_layers // LAYERS_PER_LAYER_READ)
        num_read = default_read if config.feature_layer is None else config.feature_layer
        if num_read >= loaded.num_layers:
            raise ConfigError(
                f"feature_layer is {num_read}; a path of {loaded.num_layers} layers leaves none to "
                "decide"
            )
        train, validation = (
            _data(inputs, loaded, labels, num_read)
            for labels in (inputs.labels.train, inputs.labels.validation)
        )
        with CurveWriter(inputs.curve_file) as curve:
            network, best = train_polar(train, validation, config, curve, loaded.model.device)
        router = PolarRouter(network, loaded.num_layers, num_read, BEAM)
        held_out = validation_examples(inputs)
        point = tune_threshold(router, loaded, inputs.task, held_out, config)
        metrics = {**asdict(best), **point.metrics(), "threshold": point.threshold}
        return Fitted(
            router=replace(router, threshold=point.threshold),
            metrics=metrics,
            judged_on="the validation questions, which chose the epoch and the threshold",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> PolarRouter:
        """The router of these settings and weights."""
        return restore_polar(settings, tensors)


def train_polar(
    train: SegmentData,
    validation: SegmentData,
    config: FitConfig,
    curve: CurveWriter,
    device: torch.device,
) -> tuple[PolarNetwork, PolarEpoch]:
    """Train until the validation loss has not fallen for ``config.patience`` epochs.

    Returns the network of the best epoch.

    Raises:
        ConfigError: the loss is not finite.
    """
    network = _initial_network(train, config).to(device)
    optimizer = AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    num_examples = len(train.tokens)
    schedule = CosineAnnealingLR(
        optimizer, T_max=config.epochs * -(-num_examples // config.batch_size)
    )
    shuffler = torch.Generator().manual_seed(config.seed)
    group = current_process_group()
    best: PolarEpoch | None = None
    best_state = deepcopy(network.state_dict())
    for epoch in track(range(1, config.epochs + 1), "epochs"):
        total = 0.0
        for rows in torch.split(
            torch.randperm(num_examples, generator=shuffler), config.batch_size
        ):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=device)
            if len(own := group.share(rows)):
                loss, _ = _loss(network, train, own, device, batch=rows)
                torch.autograd.backward(loss)
            group.add_up_gradients(network)
            optimizer.step()
            schedule.step()
            total += float(group.add_up(loss.detach())) * len(rows)
        metrics = _epoch(network, validation, config, device, epoch, total / num_examples)
        curve.write(asdict(metrics))
        if best is None or metrics.validation_loss < best.validation_loss:
            best, best_state = metrics, deepcopy(network.state_dict())
        if epoch - best.epoch >= config.patience:
            break
    assert best is not None, "there is at least one epoch"
    network.load_state_dict(best_state)
    return network.eval().requires_grad_(False), best


def _initial_network(train: SegmentData, config: FitConfig) -> PolarNetwork:
    hidden = -(-config.bottleneck // NUM_HEADS) * NUM_HEADS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PolarNetwork(train.operations_NM.shape[1], train.tokens[0].shape[1], hidden)
    if config.standardise:
        flat = torch.cat([tokens.float() for tokens in train.tokens])
        deviation = flat.std(dim=0, correction=0)
        # Entries that hardly vary keep a scale, so that rounding noise is not blown up into a
        # feature.
        network.mean.copy_(flat.mean(dim=0))
        network.scale.copy_(deviation.clamp(min=max(1e-3 * float(deviation.median()), 1e-6)))
    return network


def _loss(
    network: PolarNetwork,
    data: SegmentData,
    rows: Tensor,
    device: torch.device,
    *,
    batch: Tensor | None = None,
) -> tuple[Tensor, float]:
    """The loss and the operations' accuracy of a batch.

    The loss is the cross-entropy of starts plus that of operations where a segment starts.

    Of rows that are a part of a batch the loss is weighted so that the parts' add up to the
    batch's.
    """
    whole = rows if batch is None else batch
    tokens = [data.tokens[int(row)] for row in rows]
    lengths = torch.tensor([len(item) for item in tokens])
    tokens_NTD = pad_sequence(tokens, batch_first=True).to(device)
    padding_NT = torch.arange(tokens_NTD.shape[1])[None] >= lengths[:, None]
    start_logits_NM, operation_logits_NMC = network(tokens_NTD, padding_NT.to(device))
    starts_NM, operations_NM = data.starts()[rows].to(device), data.operations_NM[rows].to(device)
    loss = functional.binary_cross_entropy_with_logits(start_logits_NM, starts_NM.float()) * (
        len(rows) / len(whole)
    )
    if not bool(starts_NM.any()):
        return loss, 1.0
    logits_SC, labels_S = operation_logits_NMC[starts_NM], operations_NM[starts_NM]
    hits = float((logits_SC.argmax(dim=-1) == labels_S).float().mean())
    share = len(labels_S) / int(data.starts()[whole].sum())
    return loss + functional.cross_entropy(logits_SC, labels_S) * share, hits


def _epoch(
    network: PolarNetwork,
    data: SegmentData,
    config: FitConfig,
    device: torch.device,
    epoch: int,
    train_loss: float,
) -> PolarEpoch:
    with torch.no_grad():
        loss, accuracy = _loss(network, data, torch.arange(len(data.tokens)), device)
    if not torch.tensor([train_loss, float(loss)]).isfinite().all():
        raise ConfigError(
            f"the loss of epoch {epoch} is {train_loss} (training) and {float(loss)} (validation); "
            f"it must be finite: lower the learning rate ({config.learning_rate:g})"
        )
    return PolarEpoch(
        epoch=epoch,
        train_loss=train_loss,
        validation_loss=float(loss),
        validation_operation_accuracy=accuracy,
    )


def _data(
    inputs: FitInputs, loaded: LoadedModel, labels: Sequence[PathLabel], num_read: int
) -> SegmentData:
    task, config = inputs.task, inputs.config
    dtype = getattr(torch, config.feature_dtype)

    def compute(part: Sequence[PathLabel]) -> dict[str, Tensor]:
        rows = [
            prompt_states(
                loaded, encode_example(loaded, task, label.example).context_ids, num_read
            ).to("cpu", dtype)
            for label in track(part, "prompt states")
        ]
        return {"states": torch.cat(rows), "lengths": torch.tensor([len(row) for row in rows])}

    key = {
        "what": "tokens",
        "model": loaded.fingerprint,
        "task": [task.name, task.version, PROMPTING_VERSION],
        "num_layers_read": num_read,
        "dtype": config.feature_dtype,
    }
    tokens: dict[int, Tensor] = {}
    for places, part in stored_parts(
        inputs.feature_folder,
        key,
        labels,
        seed=config.seed,
        name=lambda label: [label.example.example_id],
        compute=compute,
    ):
        if not bool(part["states"].isfinite().all()):
            raise ConfigError(
                f"a prompt state does not fit into {config.feature_dtype}; keep features as float32"
            )
        tokens.update(
            zip(places, torch.split(part["states"], part["lengths"].tolist()), strict=True)
        )
    return SegmentData(
        tokens=tuple(tokens[place] for place in range(len(labels))),
        operations_NM=torch.tensor(
            [label.decisions[num_read:] for label in labels], dtype=torch.int64
        ),
    )
