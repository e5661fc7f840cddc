"""Part A: the card, what a product reaches on it, and what each way to attend costs.

Shapes: B prompts, H query heads, G key-value heads, R rows, K rows looked at, E head width.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.nn.functional import scaled_dot_product_attention

from gpu_parts.device import (
    CPU_REASON,
    Action,
    asked_of_nvidia_smi,
    is_cuda,
    median_seconds,
    product_flops_per_s,
    work_of,
)
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet

varlen_attn: Callable[..., object] | None
try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch below 2.10
    varlen_attn = None

SMI_FIELDS = ("driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit")
ROUNDS = 20


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part A."""
    if is_cuda(device):
        properties = torch.cuda.get_device_properties(device)
        sheet.put("card", properties.name)
        sheet.put("capability", f"{properties.major}.{properties.minor}")
        sheet.put("memory_gib", round(properties.total_memory / 2**30, 1))
        sheet.put("multiprocessors", properties.multi_processor_count)
        sheet.put("cuda", torch.version.cuda)
    else:
        sheet.lack("card", "it runs on a CPU")
    rate = product_flops_per_s(scale.product_width, device)
    sheet.put("product_tflops", round(rate / 1e12, 3))
    said = asked_of_nvidia_smi(*SMI_FIELDS) if is_cuda(device) else None
    if said is None:  # asked behind the product, while the clocks are still up
        sheet.lack("driver_and_clocks", "nvidia-smi is not here, or there is no card")
    else:
        sheet.put("driver_and_clocks", {**said})
    _attention(sheet, scale, device)


def _attention(sheet: Sheet, scale: Scale, device: str) -> None:
    shape = next(iter(scale.shapes.values()))
    heads, groups = shape["num_attention_heads"], shape["num_key_value_heads"]
    width, rows = shape["head_dim"], scale.attention_rows
    query_BHRE = _random((1, heads, rows, width), device)
    key_BGKE, value_BGKE = (_random((1, groups, rows, width), device) for _ in range(2))
    mask_RK = torch.ones(rows, rows, dtype=torch.bool, device=device).tril()
    one_BHRE, mask_1K = query_BHRE[:, :, -1:], mask_RK[-1:]
    packed_BGrE = one_BHRE.reshape(1, groups, heads // groups, width)

    def repeated() -> tuple[Tensor, Tensor]:
        more = heads // groups
        return key_BGKE.repeat_interleave(more, 1), value_BGKE.repeat_interleave(more, 1)

    ways: Mapping[str, tuple[Action, int | None]] = {
        "mask_and_gqa": (
            lambda: scaled_dot_product_attention(
                query_BHRE, key_BGKE, value_BGKE, attn_mask=mask_RK, enable_gqa=True
            ),
            _backend(query_BHRE, key_BGKE, value_BGKE, mask_RK, enable_gqa=True),
        ),
        "mask_and_repeated_heads": (
            lambda: scaled_dot_product_attention(query_BHRE, *repeated(), attn_mask=mask_RK),
            _backend(query_BHRE, *repeated(), mask_RK),
        ),
        "one_row": (
            lambda: scaled_dot_product_attention(
                packed_BGrE, key_BGKE, value_BGKE, attn_mask=mask_1K
            ),
            _backend(packed_BGrE, key_BGKE, value_BGKE, mask_1K),
        ),
    }
    for name, (action, backend) in ways.items():
        _put_cost(sheet, name, action, device, backend=_name(backend))
    _variable_length(sheet, query_BHRE, key_BGKE, value_BGKE, device)
    if not is_cuda(device):
        sheet.lack("kernels", CPU_REASON)


def _variable_length(
    sheet: Sheet, query_BHRE: Tensor, key_BGKE: Tensor, value_BGKE: Tensor, device: str
) -> None:
    if varlen_attn is None:
        sheet.lack("varlen", f"it needs torch 2.10; this is {torch.__version__}")
        return
    if not is_cuda(device):
        sheet.lack("varlen", "torch has it for CUDA only")
        return
    rows = query_BHRE.shape[2]
    ends = torch.tensor([0, rows // 4, rows // 2, rows], dtype=torch.int32, device=device)
    packed = [part[0].transpose(0, 1).contiguous() for part in (query_BHRE, key_BGKE, value_BGKE)]
    attend = partial(
        varlen_attn, *packed, ends, ends, rows, rows, window_size=(-1, 0), enable_gqa=True
    )
    for name, action in (("varlen", attend), ("varlen_one_split", partial(attend, num_splits=1))):
        _put_cost(sheet, name, action, device)


def _put_cost(sheet: Sheet, name: str, action: Action, device: str, **more: object) -> None:
    try:
        sheet.put(name, {**more, **_cost(action, device)})
    except (TypeError, RuntimeError) as error:  # arguments came one by one with torch 2.10-2.12
        sheet.lack(name, f"torch {torch.__version__} refuses it: {str(error)[:120]}")


def _cost(action: Action, device: str) -> dict[str, object]:
    took_s = median_seconds(action, device, ROUNDS)
    work = work_of(action, device)
    return {
        "us": round(took_s * 1e6, 1),
        "kernels": work.launches,
        "names": None if work.kernels is None else [name[:80] for name in work.kernels],
        "device_us": None if work.device_s is None else round(work.device_s * 1e6, 1),
        "operations": work.operations,
    }


def _random(shape: tuple[int, ...], device: str) -> Tensor:
    return torch.randn(*shape, device=device, dtype=torch.bfloat16)


def _backend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, *, enable_gqa: bool = False
) -> int | None:
    """The number of the backend that torch would choose."""
    try:
        return int(
            torch._fused_sdp_choice(query, key, value, attn_mask=mask, enable_gqa=enable_gqa)
        )
    except (AttributeError, TypeError, RuntimeError):  # no public function says it
        return None


def _name(backend: int | None) -> str | None:
    if backend is None:
        return None
    return next(
        (kind.name for kind in SDPBackend.__members__.values() if kind.value == backend),
        str(backend),
    )
