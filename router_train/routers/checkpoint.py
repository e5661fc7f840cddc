"""A trained router on disk: its weights and its description.

``router.safetensors`` holds the weights, and ``router.json``, which is written last, everything
else.

A folder without ``router.json`` is an unfinished training. The base model is never saved, only
named.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from pydantic import ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from router_train.config import FitConfig
from router_train.routers.base import Router
from router_train.routers.registry import get_kind
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.loaded import LoadedModel

CHECKPOINT_SCHEMA = 1
"""The version of ``router.json``."""
META_NAME = "router.json"
WEIGHTS_NAME = "router.safetensors"
CURVE_NAME = "curve.jsonl"
TASKS_JOINED = " + "
"""Between the tasks of a path that was found on several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterInputs:
    """Everything that a trained router depends on: equal inputs give equal routers."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    model_fingerprint: str
    corpus_digest: str
    task: str
    task_version: str
    config: FitConfig
    table_digest: str = ""
    """The digest of the path table; empty if there was none."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks whose questions taught or chose: one, or those of a scan."""
        return tuple(self.task.split(TASKS_JOINED))


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterMeta:
    """What ``router.json`` says."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = CHECKPOINT_SCHEMA
    inputs: RouterInputs
    model_spec: str
    """The spec by which the model was loaded when the router was trained. `router-train evaluate`
    looks for it there."""
    model_dtype: str
    chat: str = ""
    """Whether the model is asked in its chat template: ``always`` or ``never``; empty in routers of
    former versions, which used the template that there was (``auto``)."""
    model_parts: dict[str, str] = field(default_factory=dict)
    """A short hash of each part that the model's fingerprint covers, so that a difference has a
    name."""
    num_layers: int
    preset: str
    """The preset of the search that wrote the corpus."""
    search_seed: int
    num_train: int
    num_validation: int
    class_counts: tuple[int, ...]
    """How often the training labels skip, execute and repeat a layer."""
    left_out: dict[str, int]
    """The number of examples of the corpus that did not teach, by reason."""
    settings: dict[str, int | float | str]
    """What the kind of router needs to restore it."""
    metrics: dict[str, float]
    judged_on: str = ""
    """Where the metrics come from, as `router_train.routers.base.Fitted` says it; empty in
    checkpoints that were written before it was recorded."""
    versions: dict[str, str]
    weights_sha256: str
    """The SHA-256 of ``router.safetensors``."""
    menu: tuple[str, ...] = ()
    """The paths of the path table, identity first. Evaluations run the oracle over them."""
    static_path: str = ""
    """The path of the menu that a static router would send every prompt down. Evaluations run it
    beside the router."""

    @property
    def kind(self) -> str:
        """The kind of router."""
        return self.inputs.config.router

    @property
    def digest(self) -> str:
        """16 hex digits that are equal for routers that always choose alike.

        They cover model, kind, settings and weights.
        """
        parts = [self.inputs.model_fingerprint, self.kind, self.settings, self.weights_sha256]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


_META = TypeAdapter(RouterMeta)


def installed_versions() -> dict[str, str]:
    """The versions of what a router's weights depend on."""
    packages = ("search-cluster", "torch", "transformers")
    return {**{name: version(name) for name in packages}, "python": python_version()}


def save_weights(folder: Path, router: Router) -> str:
    """Write ``router.safetensors`` atomically and return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{WEIGHTS_NAME}.{os.getpid()}.tmp"
    unfinished.write_bytes(save(router.tensors()))
    unfinished.replace(folder / WEIGHTS_NAME)
    return _sha256(folder / WEIGHTS_NAME)


def save_meta(folder: Path, meta: RouterMeta) -> None:
    """Write ``router.json`` atomically; from then on the checkpoint is finished."""
    unfinished = folder / f"{META_NAME}.{os.getpid()}.tmp"
    unfinished.write_text(json.dumps(asdict(meta), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(folder / META_NAME)


def read_meta(folder: Path) -> RouterMeta:
    """What a finished checkpoint says about itself.

    Raises:
        ConfigError: there is no finished checkpoint, or it is damaged or of another schema.
    """
    path = folder / META_NAME
    if not path.is_file():
        raise ConfigError(
            f"{folder} holds no {META_NAME}; train a router first: router-train fit --corpus RUN "
            f"--out {folder}"
        )
    try:
        meta = _META.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the text"
        raise ConfigError(
            f"{path} is not a router description of schema {CHECKPOINT_SCHEMA}: {place}: "
            f"{first['msg']}; fit the router again with --force"
        ) from error
    if meta.schema != CHECKPOINT_SCHEMA:
        raise ConfigError(
            f"{path} has schema {meta.schema}; this version reads {CHECKPOINT_SCHEMA}: fit the "
            "router again"
        )
    return meta


def load_router(folder: Path, loaded: LoadedModel) -> tuple[Router, RouterMeta]:
    """The trained router of a folder, for the model that it was trained for.

    Raises:
        ConfigError: the checkpoint is missing, unfinished or damaged.
        ModelError: it was trained for a model with another fingerprint.
    """
    meta = read_meta(folder)
    if not loaded.identity.is_known_as(meta.inputs.model_fingerprint):
        differing = loaded.identity.differences(meta.model_parts)
        raise ModelError(
            f"router {folder} was trained for model {meta.model_spec!r} ({meta.model_dtype}, "
            f"fingerprint {meta.inputs.model_fingerprint}); the loaded model {loaded.spec!r} "
            f"({loaded.dtype}) has fingerprint {loaded.fingerprint}{differing}: load the router's "
            "own model and dtype, or fit a router for this one"
        )
    weights = require_weights(folder, meta)
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise ConfigError(
            f"{weights} is no safetensors file ({error}); fit the router again with --force"
        ) from error
    return get_kind(meta.kind).restore(meta.settings, tensors), meta


def require_weights(folder: Path, meta: RouterMeta) -> Path:
    """The file of weights, if it is the one that ``meta`` describes.

    Raises:
        ConfigError: it is missing or another one.
    """
    weights = folder / WEIGHTS_NAME
    if not weights.is_file() or _sha256(weights) != meta.weights_sha256:
        raise ConfigError(
            f"{weights} is missing or not the file that {META_NAME} names; fit the router again "
            "with --force"
        )
    return weights


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
