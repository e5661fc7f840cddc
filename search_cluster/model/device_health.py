"""Whether a device still computes: errors that only a broken one raises, and a product to try.

After some errors of an accelerator (an assertion on the device, an illegal access, memory that
fails) every later call of the process fails, and what came before may be wrong. Plain lack of
memory is none of them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from search_cluster.errors import DeviceBrokenError, in_one_line, with_causes

FAULT = re.compile(
    r"\b(?:cuda(?: driver)?|hip|cudnn|cublas|cusolver|ecc|nvml) error"
    r"|\b(?:cublas|cudnn|cusolver|hipblas|miopen)_?status"
    r"|device-side assert|illegal (?:memory access|instruction)|misaligned address"
    r"|unspecified launch failure|\buncorrectable\b.*\becc\b|\bxid\b|fallen off the bus"
    r"|\bgpu is lost|no cuda-capable device|cuda-capable device\(s\) is/are busy",
    re.IGNORECASE | re.DOTALL,
)
"""What errors of a broken device say."""
LACK_OF_MEMORY = re.compile(
    r"out of memory|alloc_failed|memory allocation|can(?:'t|not) allocate memory", re.IGNORECASE
)
"""What the same libraries say of lack of memory, which is no fault of the device."""
PRODUCT_SIZE = 256
"""Rows and columns of the product that is tried: enough for many of a device's units."""
CHECKED_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and LACK_OF_MEMORY.search(str(error)) is not None


def is_device_fault(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that an accelerator is broken."""
    return any(isinstance(one, DeviceBrokenError) or _says_so(one) for one in with_causes(error))


def _says_so(error: BaseException) -> bool:
    if is_lack_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.AcceleratorError) or FAULT.search(str(error)) is not None


def require_sound_device(device: str, dtype: str) -> None:
    """Pass if a product of known value comes out right; a few milliseconds on a CPU.

    Args:
        device: as torch names it.
        dtype: of the model.

    Raises:
        DeviceBrokenError: it comes out wrong, or the device raises an error; lack of memory proves
            nothing and passes.
    """
    kind = CHECKED_DTYPES.get(dtype, torch.float32)
    left, right, product = _known_product()
    try:
        found = (left.to(device, kind) @ right.to(device, kind)).cpu()
    except RuntimeError as error:
        if is_lack_of_memory(error):
            return
        raise DeviceBrokenError(
            f"device {device} can't compute a small product: {in_one_line(error)}"
        ) from error
    wanted = product.to(kind)
    if not torch.equal(found, wanted):
        num_wrong = int((found != wanted).sum())
        raise DeviceBrokenError(
            f"device {device} computes a small product of known value wrong in {num_wrong} of "
            f"{wanted.numel()} places"
        )


@cache
def _known_product() -> tuple[Tensor, Tensor, Tensor]:
    """Two factors of integers and their product.

    Entries are -1, 0 and 1 and sums are small, so that it is exact in every dtype.
    """
    count = torch.arange(PRODUCT_SIZE * PRODUCT_SIZE).reshape(PRODUCT_SIZE, PRODUCT_SIZE)
    left = (count * 7 // 3) % 3 - 1
    right = (count * 5 // 7) % 3 - 1
    return left, right, left @ right


@contextmanager
def naming_device_faults(device: str) -> Iterator[None]:
    """Errors that say that an accelerator is broken are raised as one that says whose.

    Raises:
        DeviceBrokenError: in place of such an error.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DeviceBrokenError) or not is_device_fault(error):
            raise
        raise broken(device, error) from error


def broken(device: str, error: BaseException) -> DeviceBrokenError:
    """The error for a device that raised another one."""
    return DeviceBrokenError(f"device {device} is broken: {in_one_line(error)}")
