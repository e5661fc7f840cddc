"""What a worker may take of the memory of the device that is there."""

from dataclasses import replace

import torch
from transformers import PreTrainedConfig

from search_cluster.errors import ModelError
from search_cluster.machine import usable_memory_bytes
from search_cluster.model.devices.layer_devices import device_names
from search_cluster.model.devices.placing import require_layers
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.memory_plan import (
    CALL_ROWS,
    HEAD_ROWS,
    MemoryPlan,
    count_weights,
    in_gb,
    plan_memory,
    size_in_parts,
    weightless,
)

CPU_STATE_BYTES = 2**30
"""The bytes for states that each worker has, or a tenth of the memory that this process may have,
where that is less."""


def cpu_state_bytes() -> int:
    """The bytes that an engine on the CPU may keep of path prefixes."""
    return min(CPU_STATE_BYTES, usable_memory_bytes() // 10)


def gpu_bytes(device: str) -> tuple[int, int]:
    """The bytes of a GPU that are free, and all that it has.

    What torch keeps of tensors that are gone is given back before it is asked.
    """
    torch.cuda.empty_cache()
    free_bytes, total_bytes = torch.cuda.mem_get_info(torch.device(device))
    return free_bytes, total_bytes


def require_memory(
    config: PreTrainedConfig,
    dtype: torch.dtype,
    device: str,
    *,
    num_workers: int = 1,
    num_devices: int = 1,
) -> None:
    """Pass if a model of this configuration fits on the device, as far as that can be told.

    On the CPU only its weights count, whatever else runs there.

    Args:
        config: the model's, of which nothing else needs to be there.
        dtype: of its weights.
        device: where it is to go.
        num_workers: the workers on that GPU, each with its weights; no CPU counts them.
        num_devices: the GPUs that share its layers, of which this is the first.

    Raises:
        ModelError: it does not; the message says how many GPUs, or how much memory, it would take.
    """
    is_quantized = getattr(config, "quantization_config", None) is not None
    # Quantized weights are smaller than their number tells: loading them shows whether they fit.
    if is_quantized:
        return
    if device == "cpu":
        weight_bytes, usable = count_weights(config) * dtype.itemsize, usable_memory_bytes()
        if weight_bytes > usable:
            raise ModelError(
                f"its weights are {in_gb(weight_bytes)}, and this process may have "
                f"{in_gb(usable)} of memory (what the machine has, or its container's limit); take "
                "a smaller model, a 16-bit dtype, or a machine or limit above it"
            )
    if device.startswith("cuda") and torch.cuda.is_available():
        size = size_in_parts(weightless(config), dtype)
        require_layers(len(size.layer_bytes), num_devices)
        plan_memory(
            size,
            device_bytes=min(gpu_bytes(name)[1] for name in device_names(device, num_devices)),
            num_workers=num_workers,
            num_devices=num_devices,
        )


def memory_of(
    loaded: LoadedModel,
    *,
    num_workers: int = 1,
    shares_weights: bool = False,
    rows_per_call: int | None = None,
) -> MemoryPlan:
    """The memory of one worker that has loaded its model.

    Args:
        loaded: the model.
        num_workers: the workers on its GPU, this one included; no CPU counts them.
        shares_weights: whether they are threads of one process, with one copy of the weights.
        rows_per_call: of one layer call, where it is given.

    Raises:
        ModelError: so many workers do not fit on the GPU.
    """
    model = loaded.model
    size = size_in_parts(model, model.dtype)
    if not loaded.device.startswith("cuda"):
        return MemoryPlan(
            size=size,
            rows_per_call=rows_per_call or CALL_ROWS[-1],
            head_rows=HEAD_ROWS[-1],
            state_bytes=cpu_state_bytes(),
        )
    names = device_names(loaded.device, loaded.num_devices)
    found = [gpu_bytes(name) for name in names]
    free_bytes, total_bytes = min(free for free, _ in found), min(total for _, total in found)
    plan = plan_memory(
        size,
        device_bytes=total_bytes,
        num_workers=num_workers,
        num_devices=len(names),
        shares_weights=shares_weights,
        rows_per_call=rows_per_call,
    )
    # Others may use the GPU, too, whom nobody told of this plan.
    left_bytes = max(1, len(names) * (free_bytes - plan.activation_bytes))
    return replace(plan, state_bytes=min(plan.state_bytes, left_bytes))


def default_state_bytes(loaded: LoadedModel, *, num_engines: int = 1) -> int:
    """The bytes that an engine may keep of path prefixes.

    Args:
        loaded: the model.
        num_engines: the engines that are on its device together, this one included; their models
            share their weights. On a CPU each may keep as much as one.
    """
    return memory_of(loaded, num_workers=num_engines, shares_weights=True).state_bytes
