"""Part H: seconds and peak host memory of loading a folder, straight to the device or not.

A few layers of the 8B shape are written first; what counts is the ratio of memory to weights. The
files were just written, so they are read from memory, not from a disk.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from gpu_parts.child import run_child
from gpu_parts.device import wait_for
from gpu_parts.random_models import random_model, save_folder
from gpu_parts.scale import Scale
from gpu_parts.sheet import Sheet

LEAST_S = 2.0
"""With less time left nothing is begun."""
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def check(sheet: Sheet, scale: Scale, device: str) -> None:
    """Fill in the sheet of part H."""
    with TemporaryDirectory(prefix="gpu_check.") as name:
        folder = Path(name)
        *_, model = scale.shapes

        def noted(message: tuple[str, Any]) -> None:
            sheet.put(*message)

        for function in (_write, _by_the_host, _to_the_device, _as_workers_do):
            if sheet.lent_s < LEAST_S:
                sheet.lack(function.__name__.strip("_"), "no time was left")
                continue
            end = run_child(
                function, scale, model, device, folder, limit_s=sheet.lent_s, take=noted
            )
            if end.trouble:
                sheet.lack(function.__name__.strip("_"), end.trouble)


def _write(
    scale: Scale, model: str, device: str, folder: Path, send: Callable[[Any], None]
) -> None:
    loaded = random_model(scale.shapes[model], device=device, num_layers=scale.folder_layers)
    started_s = time.perf_counter()
    weight_bytes = save_folder(loaded, folder)
    took_s = round(time.perf_counter() - started_s, 2)
    send(("written", {"layers": scale.folder_layers, "bytes": weight_bytes, "seconds": took_s}))


def _by_the_host(
    scale: Scale, model: str, device: str, folder: Path, send: Callable[[Any], None]
) -> None:
    """Load into host memory, then move, as without a device map."""

    def load() -> object:
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        return loaded.to(device)  # type: ignore[arg-type]

    send(("by_the_host", _loaded(load, device, folder)))


def _to_the_device(
    scale: Scale, model: str, device: str, folder: Path, send: Callable[[Any], None]
) -> None:
    """Load with a device map that names one device."""

    def load() -> object:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, device_map={"": device}
        )

    try:
        send(("to_the_device", _loaded(load, device, folder)))
    except (ImportError, ValueError) as error:  # accelerate is not installed
        send(("to_the_device", f"not measured: {error}"))


def _as_workers_do(
    scale: Scale, model: str, device: str, folder: Path, send: Callable[[Any], None]
) -> None:
    """Load as search workers do, which also hashes the files."""
    try:
        from search_cluster.model.load.loading import load_model
    except ImportError as error:  # it wants packages that a bare GPU machine may lack
        send(("as_workers_do", f"not measured: {error}"))
        return

    def load() -> object:
        return load_model(str(folder), dtype="bfloat16", device=device, self_test=False)

    send(("as_workers_do", _loaded(load, device, folder)))


def _loaded(load: Callable[[], object], device: str, folder: Path) -> dict[str, Any]:
    torch.zeros(1, device=device)  # the device's own start is none of loading
    wait_for(device)
    before = _host_bytes("VmRSS")
    _forget_peak()
    started_s = time.perf_counter()
    model = load()
    wait_for(device)
    took_s = time.perf_counter() - started_s
    peak = _host_bytes("VmHWM")
    del model
    weight_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    more = None if before is None or peak is None else peak - before
    return {
        "seconds": round(took_s, 3),
        "peak_host_bytes": more,
        "peak_of_weights": None if more is None else round(more / weight_bytes, 3),
    }


def _host_bytes(name: str) -> int | None:
    """A line of what Linux says of this process; ``None`` elsewhere."""
    if not _STATUS.is_file():
        return None
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0]) * 1024 if name in lines else None


def _forget_peak() -> None:
    """Let the peak of this process's memory begin anew."""
    try:
        _CLEAR.write_text("5")
    except OSError:  # elsewhere the peak of what came before stays, which is said to be less
        return
