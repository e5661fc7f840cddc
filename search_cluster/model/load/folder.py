"""Loading a model folder as save_pretrained writes it.

Whatever is wrong with the folder comes out as one clear error.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
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


def load_folder(
    folder: Path, dtype: torch.dtype, *, trust_remote_code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a folder, on the CPU, and its tokenizer.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
        ModelError: a part is missing, damaged, or needs code that was not allowed.
    """
    config = _load_config(folder, trust_remote_code)
    return _load_weights(folder, config, dtype, trust_remote_code), _load_tokenizer(
        folder, trust_remote_code
    )


def _load_config(folder: Path, trust_remote_code: bool) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code
        )
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise _load_error(folder, "config", error) from error
    anatomy_of(config)
    return config


def _load_weights(
    folder: Path, config: PreTrainedConfig, dtype: torch.dtype, trust_remote_code: bool
) -> PreTrainedModel:
    try:
        model: PreTrainedModel
        info: dict[str, set[str]]
        model, info = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=anatomy_of(config).attention_kernel,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except (ValueError, OSError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise _load_error(folder, "weights", error) from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ModelError(
            f"{folder} lacks {len(missing)} weights, {missing[0]} first; they would be random: "
            "download the model again"
        )
    return model


def _load_tokenizer(folder: Path, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise _load_error(folder, "tokenizer", error) from error


def _load_error(folder: Path, part: str, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error):
        return ModelError(
            f"the {part} of {folder} needs Python code from the model's authors; read it, then "
            "allow it with trust_remote_code=True (--trust-remote-code)"
        )
    return ModelError(
        f"the {part} of {folder} can't be loaded ({reason}); a model folder holds config.json, "
        "safetensors weights and tokenizer files, as save_pretrained writes them"
    )
