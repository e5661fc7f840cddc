"""How a device's memory is parted: weights, one call's activations, and states of path prefixes.

A function of the model's configuration, the device's bytes and the workers on it. Knows nothing of
what is loaded, so that what does not fit is refused before weights are downloaded.
"""

from dataclasses import dataclass, replace

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from search_cluster.errors import ModelError, in_one_line
from search_cluster.model.anatomy import head_width
from search_cluster.model.devices.split import fullest_bytes, split_layers

CALL_ROWS = (8192, 4096, 2048, 1024)
"""Rows of one layer call, the most that there is room for. At 8,192 rows a large card's products
last several times as long as what surrounds them; 1,024 are enough for a CPU."""
HEAD_ROWS = (1024, 512, 256, 128)
"""Rows whose logits are in memory together; the head is read once for each so many."""
CALL_SHARE, HEAD_SHARE = 1 / 4, 1 / 16
"""What one call's activations and one part's logits may take, of what the weights leave."""
PROCESS_BYTES = 2**30
"""What a process takes of a GPU beside its tensors: its context, code and libraries' workspaces."""
SLACK_SHARE = 0.03
"""The share of a device that nothing is planned for: it is lost between the blocks of the
allocator."""
KEYS_PER_ROW = 32
"""Keys that a call gathers at most for each row that it may have. Rows of a prompt share those of
their sequence, about one each; a row that is decoded has a whole sequence of its own, so that calls
of such rows have fewer of them."""
MASK_BYTES = 2**27
"""Masks of attention that an engine keeps on each of its devices."""
LOGIT_COPIES = 3
"""Float32 rows of a vocabulary that reading one row's logits takes: the row, its exponentials, and
the product it is rounded from."""
MIN_STATE_BYTES = 2**28
"""States without which no search is worth while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What a model takes in one dtype."""

    weight_bytes: int
    hidden_row_bytes: int
    """The state of one row between two layers."""
    key_row_bytes: int
    """The keys and values of one row in one layer."""
    call_row_bytes: int
    """The activations of one row at the widest place of a layer, and its gathered keys."""
    head_row_bytes: int
    """The logits of one row, with what is made of them."""
    layer_bytes: tuple[int, ...] = ()
    """The weights of each layer, where several devices may share them."""
    first_bytes: int = 0
    """The weights in front of the layers."""
    last_bytes: int = 0
    """Those behind them: the head's, on a device of its own, are there even if it is tied."""

    def layer_counts(self, num_devices: int) -> tuple[int, ...]:
        """How many layers each of several devices gets; there are as many layers, or more."""
        return split_layers(
            self.layer_bytes,
            num_devices,
            first_bytes=self.first_bytes,
            last_bytes=self.last_bytes,
        )

    def fullest_bytes(self, num_devices: int) -> int:
        """The weights of the fullest of several devices that share the layers."""
        if num_devices == 1:
            return self.weight_bytes
        return fullest_bytes(
            self.layer_bytes,
            self.layer_counts(num_devices),
            first_bytes=self.first_bytes,
            last_bytes=self.last_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """One worker's part of a device."""

    size: ModelSize
    rows_per_call: int
    head_rows: int
    state_bytes: int
    """For states of path prefixes, between and within calls, on all devices of the worker."""

    @property
    def activation_bytes(self) -> int:
        """What one layer call and the reading of one part's logits take, and the kept masks."""
        return _activation_bytes(self.size, self.rows_per_call, self.head_rows)


def count_weights(config: PreTrainedConfig) -> int:
    """The number of a model's weights, tied ones once; they are not made.

    Raises:
        ModelError: no model can be built from the configuration.
    """
    return sum(weight.numel() for weight in weightless(config).parameters())


def weightless(config: PreTrainedConfig) -> PreTrainedModel:
    """The model that a configuration describes, without memory for its weights.

    Raises:
        ModelError: no model can be built from the configuration.
    """
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # a damaged configuration fails anywhere in transformers
        raise ModelError(
            f"its configuration describes no model ({type(error).__name__}: "
            f"{in_one_line(error)}); check config.json"
        ) from error
    return model


def size_in_parts(model: PreTrainedModel, dtype: torch.dtype) -> ModelSize:
    """What a model takes, with or without memory for its weights, also on several devices."""

    def num_bytes(module: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters()) * dtype.itemsize

    num_weights = sum(weight.numel() for weight in model.parameters())
    return replace(
        size_of(model.config, dtype, num_weights=num_weights),
        layer_bytes=tuple(map(num_bytes, model.model.layers)),
        first_bytes=num_bytes(model.model.embed_tokens),
        last_bytes=num_bytes(model.model.norm) + num_bytes(model.lm_head),
    )


def size_of(config: PreTrainedConfig, dtype: torch.dtype, *, num_weights: int) -> ModelSize:
    """What a model of this configuration takes, which has so many weights."""
    width = int(config.hidden_size)
    query_width = head_width(config) * int(config.num_attention_heads)
    key_width = 2 * head_width(config) * int(config.num_key_value_heads)
    # Residual, normed rows, the block's output and its sum; queries before and after the rotary
    # embedding, and what attention says; the feed-forward's two inner rows and their product.
    num_values = 4 * width + 3 * query_width + 2 * key_width + _inner_values(config)
    return ModelSize(
        weight_bytes=num_weights * dtype.itemsize,
        hidden_row_bytes=width * dtype.itemsize,
        key_row_bytes=key_width * dtype.itemsize,
        call_row_bytes=(num_values + KEYS_PER_ROW * key_width) * dtype.itemsize,
        head_row_bytes=LOGIT_COPIES * int(config.vocab_size) * torch.float32.itemsize,
    )


def _inner_values(config: PreTrainedConfig) -> int:
    """The values of a row within the largest feed-forward block, over all experts that it takes."""
    dense = int(config.intermediate_size)
    num_experts = int(getattr(config, "num_experts_per_tok", None) or 0)
    expert = int(getattr(config, "moe_intermediate_size", None) or dense)
    shared = int(getattr(config, "shared_expert_intermediate_size", None) or 0)
    width = int(config.hidden_size)
    # Each expert has a copy of the row, too, and says something of its width, which is put back in
    # order; the product that opens it holds both halves while they are gated.
    of_expert = max(4 * expert + width, 3 * (expert + width))
    return max(3 * dense, num_experts * of_expert + 3 * shared)


def _activation_bytes(size: ModelSize, rows_per_call: int, head_rows: int) -> int:
    return rows_per_call * size.call_row_bytes + head_rows * size.head_row_bytes + MASK_BYTES


def plan_memory(
    size: ModelSize,
    *,
    device_bytes: int,
    num_workers: int = 1,
    num_devices: int = 1,
    shares_weights: bool = False,
    rows_per_call: int | None = None,
) -> MemoryPlan:
    """The part of one of the workers on a GPU, or on several, which all have equal ones.

    Args:
        size: of the model.
        device_bytes: of the whole GPU, of each if there are several.
        num_workers: the workers on it.
        num_devices: the GPUs that share the layers of each worker.
        shares_weights: whether they are threads of one process, with one copy of the weights.
        rows_per_call: of one layer call, where it is given.

    Raises:
        ModelError: they do not fit; the message is about one worker, or about several.
    """
    weight_bytes = size.fullest_bytes(num_devices)
    room_bytes = _room_bytes(weight_bytes, device_bytes, num_workers, shares_weights=shares_weights)
    least_rows = rows_per_call or CALL_ROWS[-1]
    least_bytes = _activation_bytes(size, least_rows, HEAD_ROWS[-1]) + MIN_STATE_BYTES
    if room_bytes < least_bytes:
        if num_devices == 1 and num_workers > 1:
            require_fewer_workers(
                size.weight_bytes, least_bytes, device_bytes, num_workers, shares_weights
            )
        raise ModelError(refusal(size, least_bytes, device_bytes, num_devices))
    call_rows = rows_per_call or _largest(CALL_ROWS, size.call_row_bytes, CALL_SHARE * room_bytes)
    head_rows = _largest(HEAD_ROWS, size.head_row_bytes, HEAD_SHARE * room_bytes)
    return MemoryPlan(
        size=size,
        rows_per_call=call_rows,
        head_rows=head_rows,
        state_bytes=num_devices * (room_bytes - _activation_bytes(size, call_rows, head_rows)),
    )


def _room_bytes(
    weight_bytes: int, device_bytes: int, num_workers: int, *, shares_weights: bool
) -> int:
    """What each worker has beside weights, on the fullest of its devices."""
    num_copies = 1 if shares_weights else num_workers
    usable_bytes = int(device_bytes * (1 - SLACK_SHARE))
    return (usable_bytes - num_copies * (PROCESS_BYTES + weight_bytes)) // num_workers


def _largest(choices: tuple[int, ...], row_bytes: int, limit_bytes: float) -> int:
    """The largest number of rows within a limit, or the smallest of all."""
    return next((rows for rows in choices if rows * row_bytes <= limit_bytes), choices[-1])


def require_fewer_workers(
    weight_bytes: int, least_bytes: int, device_bytes: int, num_workers: int, shares_weights: bool
) -> None:
    """Pass if not even one of the workers would fit.

    Raises:
        ModelError: fewer would; the message says how many.
    """

    def fits(number: int, *, shares_weights: bool) -> bool:
        room = _room_bytes(weight_bytes, device_bytes, number, shares_weights=shares_weights)
        return room >= least_bytes

    if not fits(1, shares_weights=True):
        return
    most = max(
        number for number in range(1, num_workers) if fits(number, shares_weights=shares_weights)
    )
    setting = "workers" if shares_weights else "workers_per_gpu"
    raise ModelError(
        f"{num_workers} workers do not fit on a GPU of {in_gb(device_bytes)}: the weights are "
        f"{in_gb(weight_bytes)}{'' if shares_weights else ' for each'}, and each works in "
        f"{in_gb(least_bytes)} at least; set {setting} to {most}"
    )


def refusal(size: ModelSize, least_bytes: int, device_bytes: int, num_devices: int) -> str:
    """Why one worker does not fit, and how many GPUs it takes."""

    def fits(weight_bytes: int) -> bool:
        return _room_bytes(weight_bytes, device_bytes, 1, shares_weights=True) >= least_bytes

    most = max(len(size.layer_bytes), 1)
    enough = next(
        (
            number
            for number in range(num_devices + 1, most + 1)
            # Even in equal parts the weights would be too many: most numbers need no more asking.
            if fits(size.weight_bytes // number) and fits(size.fullest_bytes(number))
        ),
        None,
    )
    needed = size.fullest_bytes(num_devices) + least_bytes + PROCESS_BYTES
    larger = f"GPUs of {in_gb(needed / (1 - SLACK_SHARE))} and more"
    has = "one" if num_devices == 1 else str(num_devices)
    needs = (
        f"its weights are {in_gb(size.weight_bytes)}, and {in_gb(least_bytes)} are needed beside "
        "them"
    )
    if enough is None:
        return (
            f"GPUs of {in_gb(device_bytes)} can't hold it, however many a worker has: {needs}; "
            f"take a smaller model, or {larger}"
        )
    return (
        f"it takes {enough} GPUs of {in_gb(device_bytes)}, and a worker has {has}: {needs} "
        f"on each; set --devices-per-worker {enough}, or take a smaller "
        f"model, or {larger}"
    )


def in_gb(num_bytes: float) -> str:
    """So many bytes, in words: ``16.1 GB``."""
    return f"{num_bytes / 1e9:.1f} GB"
