"""A set of bridges on disk.

``bridges.safetensors`` holds ``"{jump}.weight"`` and ``"{jump}.bias"``, float32; ``config.json``,
which is written last, says which model they belong to, how they were fitted and how good they are.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from search_cluster.bridged_spec import BridgeKind
from search_cluster.errors import ConfigError, in_one_line
from search_cluster.files import replaced_whole, write_text_whole
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.fitted import read_fitted_record, require_same_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.jumps import parse_jump

BRIDGES_SCHEMA = 1
"""The version of ``config.json``."""
CONFIG_NAME, TENSORS_NAME = "config.json", "bridges.safetensors"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgesRecord:
    """What ``config.json`` says."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = BRIDGES_SCHEMA
    kind: BridgeKind
    jumps: list[str]
    digest: str
    """See `Bridges.digest`."""
    model_fingerprint: str
    """Of the model without bridges."""
    model_spec: str
    model_dtype: str
    model_parts: dict[str, str]
    """A short hash of each part that the model's fingerprint covers."""
    num_layers: int
    width: int
    found: dict[str, Any]
    """How they were fitted, and how good they are: what ``bridge fit --json`` says."""


_RECORD = TypeAdapter(BridgesRecord)


def save_bridges(
    folder: Path, bridges: Bridges, loaded: LoadedModel, found: Mapping[str, Any] | None = None
) -> None:
    """Write a set of bridges; equal sets give equal bytes.

    Args:
        folder: where to; a set that is there is replaced.
        bridges: what to write.
        loaded: the model that they were fitted to, without bridges.
        found: how they were fitted, for `BridgesRecord`; values are ready for JSON.

    Raises:
        CorpusError: the operating system refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).unlink(missing_ok=True)  # while it is missing, none can be mistaken
    tensors = {}
    for jump in bridges.jumps:
        weight_DD, bias_D = bridges.tensors(jump)
        tensors[f"{jump}.weight"] = weight_DD.cpu().contiguous().clone()
        tensors[f"{jump}.bias"] = bias_D.cpu().contiguous().clone()
    with replaced_whole(folder / TENSORS_NAME) as temporary:
        temporary.write_bytes(save(tensors))
    record = BridgesRecord(
        kind=bridges.kind,
        jumps=[str(jump) for jump in bridges.jumps],
        digest=bridges.digest,
        model_fingerprint=loaded.fingerprint,
        model_spec=loaded.spec,
        model_dtype=loaded.dtype,
        model_parts=dict(loaded.parts),
        num_layers=loaded.num_layers,
        width=bridges.width,
        found=dict(found or {}),
    )
    text = json.dumps(_RECORD.dump_python(record), indent=2)
    write_text_whole(folder / CONFIG_NAME, text + "\n")


def read_bridges_record(folder: Path) -> BridgesRecord:
    """What the folder says of its bridges.

    Raises:
        ConfigError: there are none, or the file says what no version writes.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise ConfigError(
            f"{folder} holds no {CONFIG_NAME}, so it is no set of bridges; name a folder of "
            "search-cluster bridge fit"
        )
    return read_fitted_record(
        path,
        _RECORD,
        schema=BRIDGES_SCHEMA,
        what="a description of bridges",
        again="fit the bridges to a new folder",
    )


def load_bridges(folder: Path, loaded: LoadedModel) -> Bridges:
    """The bridges of a folder, for the model that they were fitted to.

    Raises:
        ConfigError: there are none, or their files are damaged.
        ModelError: they belong to another model.
    """
    record = read_bridges_record(folder)
    require_same_model(
        record,
        loaded,
        what=f"bridges {folder}",
        was="were",
        again="the bridges' own model, or fit bridges for this one",
        same_shape=record.num_layers == loaded.num_layers,
    )
    path = folder / TENSORS_NAME
    try:
        tensors = load_file(path)
        jumps = [parse_jump(text, record.num_layers) for text in record.jumps]
        maps = {
            jump: (tensors.pop(f"{jump}.weight"), tensors.pop(f"{jump}.bias")) for jump in jumps
        }
        bridges = Bridges(maps, record.kind)
        is_whole = not tensors and bridges.digest == record.digest
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{path} does not hold the bridges of {CONFIG_NAME} ({in_one_line(error)[:120]}); copy "
            "the folder again, or fit the bridges again"
        ) from error
    if not is_whole:
        raise ConfigError(
            f"{path} holds other bridges than {CONFIG_NAME} says (digest {bridges.digest}, not "
            f"{record.digest}); copy the folder again, or fit the bridges again"
        )
    return bridges
