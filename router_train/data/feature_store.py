"""Features on disk, which are computed once per key.

They are safetensors files beside the routers that learn from them. They only save time: whoever
deletes them loses nothing else, and after each training the least recently used ones go until the
rest has no more than a limit.

A file is named by the hash of its key and carries that hash; one that is damaged is computed again.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from router_train.distributed import current_process_group
from search_cluster.tasks.selection import derive_seed

FEATURES_FOLDER = "features"
"""The folder lies beside the routers' folders."""
FEATURES_SCHEMA = 1
"""This number changes whenever the same key would give other features."""
ROWS_PER_FILE = 250
"""The number of items whose features lie in one file. An interruption loses at most these, and
ablations of the corpus' size share whole files."""
_KEY = "router_train.data.features"

Item = TypeVar("Item")


def stored_features(
    folder: Path | None, key: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """The features of a key, from the folder, or computed and left there for the next one.

    Args:
        folder: the folder where they are kept; ``None`` keeps them nowhere.
        key: everything that they depend on, as JSON.
        compute: a function that gives contiguous tensors in main memory.
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
                    file.touch()  # `bound_features` keeps what was used last
                    return {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118 (no mapping)
        except FileNotFoundError:
            pass  # another training has just made room
        except SafetensorError as error:
            print(f"{file} is damaged ({error}); its features are computed again", file=sys.stderr)
    tensors = compute()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(save(tensors, metadata={_KEY: digest}))
    unfinished.replace(file)
    return tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureUse:
    """What a folder of features holds after `bound_features`."""

    num_bytes: int
    num_removed_bytes: int


def bound_features(folder: Path, max_bytes: int) -> FeatureUse:
    """Remove the least recently used files until a folder has no more than that many bytes.

    A training beside this one that misses a file computes it again.
    """
    sizes: list[tuple[float, Path, int]] = []
    for file in folder.glob("*.safetensors"):
        with suppress(FileNotFoundError):
            found = file.stat()
            sizes.append((found.st_mtime, file, found.st_size))
    total = left = sum(size for _, _, size in sizes)
    for _, file, size in sorted(sizes):
        if left <= max_bytes:
            break
        file.unlink(missing_ok=True)
        left -= size
    return FeatureUse(num_bytes=left, num_removed_bytes=total - left)


def stored_parts(
    folder: Path | None,
    key: Mapping[str, Any],
    items: Sequence[Item],
    *,
    seed: int,
    name: Callable[[Item], Sequence[Any]],
    compute: Callable[[Sequence[Item]], dict[str, Tensor]],
) -> Iterator[tuple[Sequence[int], dict[str, Tensor]]]:
    """The places and the features of items, `ROWS_PER_FILE` items at a time.

    What is computed is kept.

    Parts follow the order in which the seed draws the items, so that a smaller sample's full files
    are also those of a larger one. Processes of a group compute different parts and read those of
    the others, so the folder has to be one that all of them see.

    Args:
        folder: the folder where they are kept; ``None`` keeps them nowhere.
        key: everything that they depend on beside the items, as JSON.
        items: at least one item.
        seed: the seed of the samples.
        name: what identifies an item, beginning with an example's id, as JSON.
        compute: a function that gives the features of some items, as contiguous tensors in main
            memory.
    """
    order = sorted(range(len(items)), key=lambda place: derive_seed(seed, name(items[place])[0]))
    group = current_process_group()
    chunks = [order[first : first + ROWS_PER_FILE] for first in range(0, len(order), ROWS_PER_FILE)]

    def features_of(places: Sequence[int]) -> dict[str, Tensor]:
        part = [items[place] for place in places]
        return stored_features(
            folder, {**key, "items": [list(name(item)) for item in part]}, partial(compute, part)
        )

    if group.size > 1 and folder is not None:
        for number, places in enumerate(chunks):
            if group.is_mine(number):
                features_of(places)
        group.wait_for_all()
    for places in chunks:
        yield places, features_of(places)


def stored_rows(
    folder: Path | None,
    key: Mapping[str, Any],
    items: Sequence[Item],
    *,
    seed: int,
    name: Callable[[Item], Sequence[Any]],
    compute: Callable[[Sequence[Item]], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """As `stored_parts`, but whole tensors with a row per item, in the items' order."""
    found = list(stored_parts(folder, key, items, seed=seed, name=name, compute=compute))
    back = torch.argsort(torch.tensor([place for places, _ in found for place in places]))
    return {field: torch.cat([part[field] for _, part in found])[back] for field in found[0][1]}
