r"""Versions of transformers beside the installed one, for tests of what they make of folders.

Each lies in a folder of its own, which ``LPS_OTHER_TRANSFORMERS`` names (several with ``:``):

    pip install --no-deps --target /tmp/transformers-4.57.6 \
        transformers==4.57.6 tokenizers==0.22.2 'huggingface_hub<1'
    export LPS_OTHER_TRANSFORMERS=/tmp/transformers-4.57.6
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

VARIABLE = "LPS_OTHER_TRANSFORMERS"
HOW = (
    f"{VARIABLE} names no folder: pip install --no-deps --target DIR transformers==4.57.6 "
    f"tokenizers==0.22.2 'huggingface_hub<1', then {VARIABLE}=DIR"
)
READER = Path(__file__).with_name("reader.py")


def other_versions() -> dict[str, Path]:
    """The folders that there are, by version."""
    folders = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    return {_version(folder): folder for folder in folders}


def _version(folder: Path) -> str:
    (found,) = folder.glob("transformers-*.dist-info")
    return found.name.removeprefix("transformers-").removesuffix(".dist-info")


def environment(folder: Path | None) -> dict[str, str]:
    """That of a process which imports the transformers of a folder; ``None``: the installed one."""
    return {
        **os.environ,
        "PYTHONPATH": "" if folder is None else str(folder),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def readings(folder: Path | None, job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """What a version makes of the folders of a job (see `support.reader`)."""
    task, result = scratch / "job.json", scratch / "result.pt"
    task.write_text(json.dumps(job), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(READER), str(task), str(result)],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(torch.load(result, weights_only=True))
