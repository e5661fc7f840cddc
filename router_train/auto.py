"""Exported routed models for transformers' auto classes: importing this module registers them.

    import router_train.auto
    model = AutoModelForCausalLM.from_pretrained("FOLDER")

What comes back is the base model's own class, routed by the router; no code is loaded from the
folder.
"""

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from router_train.inference.export_folder import BASE_FOLDER, BRIDGES_FOLDER, model_inside
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import META_NAME, WEIGHTS_NAME, load_router, read_meta
from search_cluster.bridged_spec import spec_with_bridges
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.load.loading import load_model

MODEL_TYPE = "search_cluster_routed"
_HANDLED = ("dtype", "torch_dtype", "device_map", "trust_remote_code")
_WITHOUT_EFFECT = ("adapter_kwargs", "_from_auto", "_commit_hash")
_HUB = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)


class RoutedConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """What an export says beside the router: its model, and how sure the router must be."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        base_model: str = "",
        base_revision: str | None = None,
        base_dtype: str = "float32",
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.base_model = base_model
        """``demo``, a hub id, a folder, a ``.gguf`` file, or `BASE_FOLDER` inside the export."""
        self.base_revision = base_revision
        self.base_dtype = base_dtype
        """The dtype that the router was trained with; part of the model's fingerprint."""
        self.threshold = threshold


class RoutedForCausalLM(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Loads exports. Never instantiated: a loaded model is of its base model's class."""

    config_class = RoutedConfig

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        *args: Any,
        config: RoutedConfig,
        **kwargs: Any,
    ) -> PreTrainedModel:
        """The base model, routed online by the router of a folder or hub repository.

        Args:
            pretrained_model_name_or_path: what `router-train export` wrote.
            args: must be empty.
            config: of the folder; its ``base_model`` and ``threshold`` can be given to the auto
                class.
            kwargs: ``device_map`` names one device; ``dtype`` must be the router's own; hub options
                as always.

        Raises:
            ConfigError: an option that a routed model does not know, or a damaged router.
            ModelError: the base model can't be loaded, or is not the one that the router was
                trained for.
        """
        hub = {name: kwargs.pop(name) for name in _HUB if name in kwargs}
        unknown = sorted(set(kwargs) - set(_HANDLED) - set(_WITHOUT_EFFECT))
        if args or unknown:
            raise ConfigError(
                f"a routed model can't be loaded with {', '.join([*map(repr, args), *unknown])}; "
                "it takes device_map, base_model, threshold and hub options: load the base model "
                "first and use RoutedModel for more"
            )
        _check_dtype(kwargs.get("dtype", kwargs.get("torch_dtype")), config.base_dtype)
        folder = _folder(pretrained_model_name_or_path, hub)
        bridges = folder / BRIDGES_FOLDER
        loaded = load_model(
            spec_with_bridges(_base(folder, config), bridges if bridges.is_dir() else None),
            dtype=config.base_dtype,
            device=_device(kwargs.get("device_map")),
            revision=config.base_revision,
            trust_remote_code=bool(kwargs.get("trust_remote_code")),
            chat=read_meta(folder).chat or "auto",
        )
        router, _ = load_router(folder, loaded)
        return RoutedModel(loaded, router, threshold=config.threshold).causal_lm


def _folder(name: str | PathLike[str], hub: dict[str, Any]) -> Path:
    path = Path(name)
    if path.is_dir():
        return path
    try:
        return Path(
            snapshot_download(
                str(name),
                revision=hub.get("revision"),
                cache_dir=hub.get("cache_dir"),
                token=hub.get("token"),
                local_files_only=bool(hub.get("local_files_only")),
                allow_patterns=[META_NAME, WEIGHTS_NAME, f"{BASE_FOLDER}/*", f"{BRIDGES_FOLDER}/*"],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelError(
            f"routed model {name} is no folder, and the hub does not give it "
            f"({type(error).__name__}); check the name, the connection, and your access: hf auth "
            "login"
        ) from error


def _base(folder: Path, config: RoutedConfig) -> str:
    if config.base_model != BASE_FOLDER:
        return config.base_model
    return model_inside(folder) or str(folder / BASE_FOLDER)


def _check_dtype(asked: object, own: str) -> None:
    name = str(asked).removeprefix("torch.")
    if asked is not None and name not in ("auto", own):
        raise ConfigError(
            f"dtype is {name}; this router was trained for the model in {own}: leave dtype out"
        )


def _device(device_map: object) -> str:
    if device_map is None:
        return "cpu"
    if isinstance(device_map, str | torch.device | int) and str(device_map) not in (
        "balanced",
        "sequential",
    ):
        return f"cuda:{device_map}" if isinstance(device_map, int) else str(device_map)
    raise ConfigError(
        f"device_map is {device_map!r}; layer paths need the whole model on one device: name it"
    )


AutoConfig.register(MODEL_TYPE, RoutedConfig, exist_ok=True)
AutoModelForCausalLM.register(RoutedConfig, RoutedForCausalLM, exist_ok=True)
