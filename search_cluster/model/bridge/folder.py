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

from pydantic import ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from search_cluster.bridged_spec import BridgeKind
from search_cluster.errors import ConfigError, ModelError, in_one_line
from search_cluster.files import replaced_whole, write_text_whole
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.lens.folder import COMPARED_PARTS
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
    kind: str
    """A value of `BridgeKind`."""
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
        kind=bridges.kind.value,
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
    try:
        record = _RECORD.validate_json(path.read_bytes())
        BridgeKind(record.kind)
    except (ValidationError, ValueError) as error:
        raise ConfigError(
            f"{path} is not a description of bridges of schema {BRIDGES_SCHEMA} "
            f"({in_one_line(error)[:120]}); fit the bridges again"
        ) from error
    if record.schema != BRIDGES_SCHEMA:
        raise ConfigError(
            f"{path} has schema {record.schema}; this version reads {BRIDGES_SCHEMA}: fit the "
            "bridges again"
        )
    return record


def load_bridges(folder: Path, loaded: LoadedModel) -> Bridges:
    """The bridges of a folder, for the model that they were fitted to.

    Raises:
        ConfigError: there are none, or their files are damaged.
        ModelError: they belong to another model.
    """
    record = read_bridges_record(folder)
    _require_same_model(folder, record, loaded)
    path = folder / TENSORS_NAME
    try:
        tensors = load_file(path)
        jumps = [parse_jump(text, record.num_layers) for text in record.jumps]
        maps = {
            jump: (tensors.pop(f"{jump}.weight"), tensors.pop(f"{jump}.bias")) for jump in jumps
        }
        bridges = Bridges(maps, BridgeKind(record.kind))
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


def _require_same_model(folder: Path, record: BridgesRecord, loaded: LoadedModel) -> None:
    if loaded.identity.is_known_as(record.model_fingerprint):
        return
    # Weights of another dtype have another hash, though they may be the same model's.
    same_dtype = record.model_dtype == loaded.dtype
    compared = COMPARED_PARTS if same_dtype else COMPARED_PARTS[1:]
    differing = [
        name for name in compared if record.model_parts.get(name) != loaded.parts.get(name)
    ]
    if differing or not record.model_parts or record.num_layers != loaded.num_layers:
        raise ModelError(
            f"bridges {folder} were fitted to model {record.model_spec!r} ({record.model_dtype}, "
            f"fingerprint {record.model_fingerprint}); the loaded model {loaded.spec!r} "
            f"({loaded.dtype}) has fingerprint {loaded.fingerprint} (what differs: "
            f"{', '.join(differing) or 'not known'}): load the bridges' own model, or fit bridges "
            "for this one"
        )
    if not same_dtype:
        _logger.warning(
            "bridges %s were fitted in %s and are used in %s; that the weights are the same "
            "model's can't be checked",
            *(folder, record.model_dtype, loaded.dtype),
        )
