"""Features on disk: computed once per key, kept as safetensors beside the routers that learn from them.

A file is named by the hash of its key and carries that hash; one that is damaged is computed again.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FEATURES_FOLDER = "features"
"""Beside the routers' folders."""
FEATURES_SCHEMA = 1
"""Changes whenever the same key would give other features."""
_KEY = "router_train.features"


def stored_features(
    folder: Path | None, key: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """The features of a key: from the folder, or computed and left there for the next one.

    Args:
        folder: where they are kept; ``None``: nowhere.
        key: everything that they depend on; JSON.
        compute: gives contiguous tensors in main memory.
    """
    if folder is None:
        return compute()
    text = json.dumps({"schema": FEATURES_SCHEMA, **key}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    file = folder / f"{digest[:16]}.safetensors"
    if file.is_file():
        try:
            with safe_open(file, "pt") as found:
                if (found.metadata() or {}).get(_KEY) == digest:
                    return {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            print(f"{file} is damaged ({error}); its features are computed again", file=sys.stderr)
    tensors = compute()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(save(tensors, metadata={_KEY: digest}))
    unfinished.replace(file)
    return tensors
