"""GGUF files as ordinary float32 models: loading, and converting once to a safetensors folder."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from search_cluster.errors import ModelError, UnsupportedFamilyError
from search_cluster.extras import install_command
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.load.loading_report import require_whole


def load_gguf(
    file: Path, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, list[str]]:
    """The dequantised model of a GGUF file, on the CPU, its tokenizer, and notes for the user.

    The tokenizer is what transformers reads out of the file: it keeps the vocabulary, but for some
    families not the exact rule that splits text into words. A safetensors folder is the better
    source where there is one.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
        ModelError: the reader packages are missing, or the file can't be read.
    """
    try:
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
        model: PreTrainedModel
        info: dict[str, Any]
        model, info = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            file.parent,
            gguf_file=file.name,
            dtype=dtype,
            attn_implementation=anatomy_of(config).attention_kernel,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # not ignored, but read below
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except ImportError as error:
        raise ModelError(
            f"{file} is a GGUF file, which needs the package gguf: {install_command('demo')}"
        ) from error
    except UnsupportedFamilyError:
        raise
    except Exception as error:  # a damaged or hostile file fails anywhere in its readers
        raise ModelError(
            f"{file} can't be read as a GGUF model ({error}); convert it to safetensors first"
        ) from error
    notes = require_whole(info, str(file))
    _detach_quantizer(model)
    return model, tokenizer, notes


def _detach_quantizer(model: PreTrainedModel) -> None:
    """Make the dequantised model an ordinary one.

    It holds no quantised weight, but would refuse to be saved.
    """
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if name in vars(model):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
