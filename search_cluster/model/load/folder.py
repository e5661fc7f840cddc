"""Loading a model folder as save_pretrained writes it.

Whatever is wrong with the folder comes out as one clear error.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.devices.several import device_map_of, take_dispatch_off
from search_cluster.model.load.loading_report import TEXT_PREFIXES, one_line, require_whole
from search_cluster.model.load.weight_files import (
    notes_on_weights,
    read_settings,
    require_floating_point,
    weight_files,
)
from search_cluster.model.load.wrappers import TEXT_WEIGHTS, text_config_of


def load_folder(
    folder: Path,
    dtype: torch.dtype,
    *,
    trust_remote_code: bool,
    devices: Sequence[str] = ("cpu",),
    require_room: Callable[[PreTrainedConfig], None] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, list[str]]:
    """The model of a folder, its tokenizer, and what a user should know of both.

    Weights for a GPU go there one by one as they are read, so that the machine's own memory never
    holds them all.

    Args:
        folder: where it lies.
        dtype: of its weights.
        trust_remote_code: whether to run Python code that the model brings along.
        devices: where it is to compute; only GPUs are loaded to, other devices take it later.
        require_room: raises if a model of this configuration is too large; called before weights
            are read.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
        ModelError: a part is missing, damaged, left over, or needs code that was not allowed.
    """
    files = weight_files(folder)
    notes = notes_on_weights(folder)
    config, text_config = load_config(folder, trust_remote_code=trust_remote_code)
    if text_config is not config:
        notes.append(
            f"{folder} is a {config.model_type} model: its text model ({text_config.model_type}) "
            "is searched, without its other inputs"
        )
    if require_room is not None:
        require_room(text_config)
    model, info = _load_weights(folder, text_config, dtype, devices, trust_remote_code)
    if text_config is config:
        notes += require_whole(info, str(folder))
    else:  # what else it holds belongs to its other parts, and the note above says so
        require_whole(info, str(folder), TEXT_PREFIXES)
    if getattr(model, "hf_quantizer", None) is None:
        require_floating_point(files)
    return model, _load_tokenizer(folder, trust_remote_code), notes


def load_config(
    folder: Path, *, trust_remote_code: bool
) -> tuple[PreTrainedConfig, PreTrainedConfig]:
    """The configuration of a folder, and that of its text model, which is the same for most.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
        ModelError: it is damaged, or needs code that was not allowed.
    """
    if (folder / "config.json").is_file():
        read_settings(folder / "config.json")
    config = _load_config(folder, trust_remote_code)
    text_config = text_config_of(config, str(folder))
    anatomy_of(text_config)
    return config, text_config


def _load_config(folder: Path, trust_remote_code: bool) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # a damaged or hostile file fails anywhere in transformers
        raise _load_error(folder, "config", error) from error
    return config


def _load_weights(
    folder: Path,
    config: PreTrainedConfig,
    dtype: torch.dtype,
    devices: Sequence[str],
    trust_remote_code: bool,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    try:
        model: PreTrainedModel
        info: dict[str, Any]
        model, info = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            folder,
            config=config,
            dtype=dtype,
            device_map=device_map_of(config, devices),
            attn_implementation=anatomy_of(config).attention_kernel,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            # Not to be ignored: it is read out of the loading info, where the names are.
            ignore_mismatched_sizes=True,
            key_mapping=TEXT_WEIGHTS,
        )
    except Exception as error:
        raise _load_error(folder, "weights", error) from error
    take_dispatch_off(model)
    return model, info


def _load_tokenizer(folder: Path, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise _load_error(folder, "tokenizer", error) from error


def _load_error(folder: Path, part: str, error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    reason = one_line(str(error)) or type(error).__name__
    if isinstance(error, LookupError | AttributeError | TypeError):  # their text is half a sentence
        reason = f"{type(error).__name__}: {reason}"
    if "trust_remote_code" in str(error):
        return ModelError(
            f"the {part} of {folder} needs Python code from the model's authors; read it, then "
            "allow it with trust_remote_code=True (--trust-remote-code)"
        )
    return ModelError(
        f"the {part} of {folder} can't be loaded ({reason}); a model folder holds config.json, "
        "safetensors weights and tokenizer files, as save_pretrained writes them"
    )
