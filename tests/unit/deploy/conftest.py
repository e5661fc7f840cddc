"""What stands in `deploy/runs`, as its scripts import it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

RUNS = Path(__file__).parents[3] / "deploy" / "runs"


@pytest.fixture(scope="module")
def parts() -> Iterator[Callable[[str], ModuleType]]:
    """Imports what stands in the script's folder, as the script does."""
    sys.path.insert(0, str(RUNS))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(RUNS))


@pytest.fixture
def script(parts: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("GPU_CHECK_START", "fork")  # which it sets itself, and this undoes
    return parts("gpu_check")
