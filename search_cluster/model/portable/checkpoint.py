"""Writing a model and its tokenizer as a folder that several versions of transformers open."""

import json
from dataclasses import dataclass
from pathlib import Path

from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import layer_type_of
from search_cluster.model.portable.settings import SLIDING, portable_settings
from search_cluster.model.portable.tokenizer import save_tokenizer
from search_cluster.model.portable.versions import TESTED

CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"
_OF_THE_ORIGINAL = ("_name_or_path", "_model_name_or_path", "auto_map", "quantization_config")
"""Settings that say where a model was, or how its original was stored, and so not of the copy."""
_PROBES = (
    "What is the capital of Italy?",
    "  two spaces, then 12.5 % and\n\ta tab ",
    "Größe, naïve, café and cafe\u0301",
    "北京は日本語 привет مرحبا हिन्दी 🙂👍🏽",
    "def f(x):\n    return x**2  # don't\r\n",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCheckpoint:
    """What can be said of a written folder."""

    versions: tuple[str, ...]
    """The tested versions of transformers that open it with equal logits and equal tokens, oldest
    first."""
    dtype: str
    """Of the weights in it."""


def write_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> WrittenCheckpoint:
    """Write a model that owns its weights, and read its configuration and its tokens back.

    Raises:
        ModelError: what is read back is not what was to be written.
    """
    _save_model(model, folder)
    portable = portable_settings(model.config, model.dtype)
    _merge(folder / CONFIG_FILE, portable.settings)
    _check_config(folder, model)
    portable_tokenizer = save_tokenizer(tokenizer, folder)
    _check_tokens(folder, tokenizer, model.config)
    return WrittenCheckpoint(
        versions=portable.versions if portable_tokenizer else TESTED[-1:],
        dtype=str(model.dtype).removeprefix("torch."),
    )


def _save_model(model: PreTrainedModel, folder: Path) -> None:
    """Save weights and configurations.

    Transformers refuses to save sampling options beside greedy decoding, which many models come
    with; they are written as they are.
    """
    generation = model.generation_config
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        model.save_pretrained(folder)
    finally:
        model.generation_config = generation
    for weights in folder.glob("*.safetensors"):
        # Safetensors lets their owner alone read them, and who serves them may be somebody else.
        weights.chmod((folder / CONFIG_FILE).stat().st_mode)
    text = generation.to_json_string(use_diff=True)
    (folder / GENERATION_FILE).write_text(text, encoding="utf-8")


def _merge(file: Path, settings: dict[str, object]) -> None:
    saved = json.loads(file.read_text(encoding="utf-8"))
    kept = {name: value for name, value in saved.items() if name not in _OF_THE_ORIGINAL}
    text = json.dumps({**kept, **settings}, indent=2, sort_keys=True)
    file.write_text(f"{text}\n", encoding="utf-8")


def _check_config(folder: Path, model: PreTrainedModel) -> None:
    read: PreTrainedConfig = AutoConfig.from_pretrained(folder)
    if _computes(read, model) != _computes(model.config, model):
        raise ModelError(
            f"the configuration of this {read.model_type} model reads back as another one; please "
            "report it with its config.json, and export a routed model meanwhile"
        )


def _computes(config: PreTrainedConfig, model: PreTrainedModel) -> tuple[object, ...]:
    """What a configuration makes of a model's weights, to be compared."""
    rotary = type(model.model.rotary_emb)(config)
    kinds = tuple(layer_type_of(config, layer) for layer in range(config.num_hidden_layers))
    return (
        {name: buffer.tolist() for name, buffer in rotary.named_buffers()},
        {name: value for name, value in vars(rotary).items() if "scaling" in name},
        kinds,
        config.sliding_window if SLIDING in kinds else None,
        config.tie_word_embeddings,
    )


def _check_tokens(
    folder: Path, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig
) -> None:
    """Transformers takes the tokenizer of some families for one of a class of its own choice."""
    read: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    special = "".join(tokenizer.all_special_tokens)
    for text in (*_PROBES, f"{special} x {special}"):
        if read(text)["input_ids"] != tokenizer(text)["input_ids"]:
            raise ModelError(
                f"transformers reads the tokenizer of a {config.model_type} folder as a "
                f"{type(read).__name__}, whose tokens of {text!r} are not those of this model's "
                f"{type(tokenizer).__name__}; export a routed model"
            )
