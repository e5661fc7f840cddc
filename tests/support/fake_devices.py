"""Several devices on a machine that has one: CPUs by number, which refuse to mix.

A tensor of ``cpu:1`` holds a plain one and computes with it, so bits are those of one CPU. As with
real accelerators, an operation takes tensors of one device, and scalars; only copies go from one to
another. Copies between two of them are counted, and so are copies from the host's plain tensors and
what is read back to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from search_cluster.model.engine.calls.call_plan import Layout, Shapes
from search_cluster.model.engine.invariance import attention_probe, products

DEVICES = tuple(torch.device("cpu", index) for index in range(4))
COPIES = ("_to_copy", "to", "copy_")
READS = ("_local_scalar_dense", "item", "equal", "is_nonzero")


class MixedDevicesError(RuntimeError):
    """An operation got tensors of several devices."""


class FakeTensor(Tensor):
    """A tensor on a numbered CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device) -> "FakeTensor":
        with torch.inference_mode(False):  # others can't be looked at in another way
            made: FakeTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=device,
            )
        made.inner = inner
        return made

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"{self.device}: {self.inner}"

    def tolist(self) -> Any:
        """What the plain tensor holds."""
        return self.inner.tolist()

    def numpy(self, **_: object) -> Any:
        """The plain tensor's numbers."""
        return self.inner.numpy()

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return run_on_fakes(func, args, dict(kwargs or {}))


crossings: Counter[str] = Counter()
"""Copies: ``sent`` from the host, ``crossed`` between devices, ``read`` back to the host."""


def is_fake(device: object) -> bool:
    """Whether it is a numbered CPU."""
    return (
        device is not None
        and torch.device(device).type == "cpu"
        and (  # type: ignore[arg-type]
            torch.device(device).index is not None  # type: ignore[arg-type]
        )
    )


def tensors_of(item: object) -> Iterator[Tensor]:
    """All tensors in arguments or results."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        for part in item.values():
            yield from tensors_of(part)
    elif isinstance(item, (list, tuple)):
        for part in item:
            yield from tensors_of(part)


def mapped(function: Callable[[Any], Any], item: Any) -> Any:
    """Arguments or results with a function's values in place of what they hold."""
    if isinstance(item, (list, tuple)):
        return type(item)([mapped(function, part) for part in item])
    if isinstance(item, dict):
        return {key: mapped(function, part) for key, part in item.items()}
    return function(item)


def run_on_fakes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation of torch as the devices would."""
    name = func.overloadpacket.__name__
    if name == "_has_compatible_shallow_copy_type":  # a plain tensor can't become a fake one
        return False
    fakes = [item for item in tensors_of((args, kwargs)) if isinstance(item, FakeTensor)]
    # A plain number may meet any device.
    plain = [item for item in tensors_of((args, kwargs)) if not isinstance(item, FakeTensor)]
    host = [item for item in plain if item.dim()]
    devices = list(dict.fromkeys(item.device for item in fakes))
    asked = kwargs.pop("device", None)
    if asked is None and name == "to":
        asked = next((item for item in args if isinstance(item, torch.device)), None)
        if asked is None and len(args) > 1 and isinstance(args[1], Tensor):
            asked = args[1].device
            args = (args[0], args[1].dtype, *args[2:])
            func = torch.ops.aten.to.dtype
        elif asked is not None:
            args = tuple(torch.device("cpu") if item is asked else item for item in args)
    target = torch.device(asked) if asked is not None else None
    if name not in COPIES:
        if len(devices) > 1 or (devices and host):
            raise MixedDevicesError(f"{func} of {[*devices, *(item.shape for item in host)]}")
        if devices and target is not None and target != devices[0] and not name.startswith("new_"):
            raise MixedDevicesError(f"{func} of {devices} makes a tensor on {target}")
    if target is None and devices:
        target = args[0].device if name in COPIES else devices[0]
    lands = target if is_fake(target) else None
    if name in COPIES:
        come = {item.device for item in [*fakes, *host] if item is not args[0] or name != "copy_"}
        here = lands or torch.device("cpu")
        for source in come - {here}:
            kind = "crossed" if is_fake(source) and lands else "sent" if lands else "read"
            crossings[kind] += 1
    if name in READS or (devices and lands is None and name not in COPIES):
        crossings["read"] += 1
    inner_args, inner_kwargs = mapped(_inner, args), mapped(_inner, kwargs)
    if (asked is not None and name not in ("to",)) or (
        asked is not None and func is torch.ops.aten.to.dtype_layout
    ):
        inner_kwargs["device"] = torch.device("cpu")
    inner_kwargs.pop("pin_memory", None)
    result = func(*inner_args, **inner_kwargs)
    if lands is None:
        return result
    before = {id(item.inner): item for item in fakes if item.device == lands}

    def outside(item: Any) -> Any:
        if not isinstance(item, Tensor):
            return item
        return before.get(id(item)) if id(item) in before else FakeTensor(item, lands)

    return mapped(outside, result)


def _inner(item: Any) -> Any:
    return item.inner if isinstance(item, FakeTensor) else item


class _Factories(TorchDispatchMode):
    """Makes new tensors, and copies of plain ones, where the program asks for them."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return run_on_fakes(func, args, dict(kwargs or {}))


class _Literals(TorchFunctionMode):
    """Sends tensors of Python's numbers, which torch makes without an operation."""

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and is_fake(kwargs.get("device")):
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


@contextmanager
def fake_devices() -> Iterator[Counter[str]]:
    """While it is entered there are `DEVICES`; gives the counts of copies, which begin at 0."""
    crossings.clear()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    # A parameter that moves becomes another object, as a plain tensor can't become a fake one.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Factories(), _Literals():
            yield crossings
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


@contextmanager
def tried_on_one(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the engine tries out of arithmetic is tried on the one CPU that there is, and once."""
    measure, shapes = products.measure_row_counts, attention_probe.shapes_found
    known: dict[tuple[object, ...], products.RowCounts] = {}

    def row_counts(
        weight_NK: Tensor, bias_N: Tensor | None, *, num_threads: int
    ) -> products.RowCounts:
        weight_NK, bias_N = _inner(weight_NK), _inner(bias_N)
        key = (*weight_NK.shape, weight_NK.dtype, bias_N is None, num_threads)
        if key not in known:
            known[key] = measure(weight_NK, bias_N, num_threads=num_threads)
        return known[key]

    def found(
        kind: attention_probe.AttentionKind, layout: Layout, num_threads: int
    ) -> Shapes | None:
        return shapes(replace(kind, device=torch.device("cpu")), layout, num_threads)

    with patch.context() as inner:
        inner.setattr(products, "measure_row_counts", row_counts)
        inner.setattr(attention_probe, "shapes_found", found)
        yield
