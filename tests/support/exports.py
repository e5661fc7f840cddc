"""Tiny models and tokenizers of all kinds that leave as plain checkpoints."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from support import tiny
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)
from transformers import (
    GemmaTokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)

from search_cluster.model.portable.versions import READINGS
from search_cluster.paths.layer_path import LayerPath

BASE = 50000.0
LOCAL_BASE = 3000.0
ORIGINAL_LENGTH = 16
LENGTH = 32
SCALINGS: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "yarn": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8,
        "beta_fast": 20.0,
    },
    "yarn_attention": {
        "rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 8,
        "attention_factor": 1.3,
    },
    "llama3": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8,
    },
    "longrope": {
        "rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [3.0, 4.0, 5.0, 6.0], "original_max_position_embeddings": ORIGINAL_LENGTH,
    },
    "longrope_factor": {
        "rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "factor": 7.0,
        "long_factor": [3.0, 4.0, 5.0, 6.0], "original_max_position_embeddings": ORIGINAL_LENGTH,
    },
}  # fmt: skip
PATHS = {
    "identity": (0, 1, 2, 3, 4, 5),
    "skips": (0, 2, 3, 5),
    "repeats": (0, 1, 1, 4, 2, 5, 5),
    "first": (0, 0),
    "last": (5, 5),
}
MEASURED_FAMILIES = tuple(family for family in tiny.FAMILIES if family in READINGS["4.57.6"])
WITH_TWO_ROTARIES = ("gemma3_text", "olmo3")
ALWAYS_WINDOWS = ("gemma2", *WITH_TWO_ROTARIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCase:
    """A model and a path to export it by."""

    name: str
    family: str
    path: LayerPath
    settings: dict[str, Any] = field(default_factory=dict)


def export_cases() -> Iterator[ExportCase]:
    """Every family with every scaling that it takes, with and without windows, on several paths."""
    for family in MEASURED_FAMILIES:
        for scaling, settings in _rotary_settings(family).items():
            paths = PATHS if scaling == "default" else {"skips": PATHS["skips"]}
            for path, layers in paths.items():
                for windows in (True, False):
                    if not windows and (scaling != "default" or family in ALWAYS_WINDOWS):
                        continue
                    off = {} if windows else {"sliding_window": None, "use_sliding_window": False}
                    yield ExportCase(
                        name="-".join(
                            (family, scaling, path, *(() if windows else ("no-windows",)))
                        ),
                        family=family,
                        path=LayerPath(layers, tiny.NUM_LAYERS),
                        settings={**settings, **off},
                    )
        for tied in (True, False):
            yield ExportCase(
                name=f"{family}-{'tied' if tied else 'untied'}",
                family=family,
                path=LayerPath(PATHS["repeats"], tiny.NUM_LAYERS),
                settings={"tie_word_embeddings": tied, "eos_token_id": [tiny.EOS_ID, 3]},
            )


def _rotary_settings(family: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, scaling in SCALINGS.items():
        rotary = {**scaling, "rope_theta": BASE}
        if family == "phi3":
            if scaling["rope_type"] not in ("default", "longrope"):
                continue
            rotary["partial_rotary_factor"] = 1.0
        settings: dict[str, Any] = {"rope_parameters": _by_layer_type(family, rotary)}
        if name not in ("default", "linear"):
            settings["max_position_embeddings"] = LENGTH
        if family == "phi3" and "longrope" in name:
            settings["original_max_position_embeddings"] = ORIGINAL_LENGTH
        if family == "mixtral" and name != "default":
            settings["head_dim"] = 8
        found[name] = settings
    plain = {"rope_type": "default", "rope_theta": BASE}
    if family == "phi3":
        found["partial"] = {"rope_parameters": {**plain, "partial_rotary_factor": 0.5}}
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": BASE}
    if family in WITH_TWO_ROTARIES:
        found["local-scaled"] = {
            "rope_parameters": {"full_attention": plain, "sliding_attention": scaled}
        }
        found["both-scaled"] = {
            "rope_parameters": {"full_attention": scaled, "sliding_attention": scaled}
        }
    if family == "olmo3":
        local = {"rope_type": "default", "rope_theta": LOCAL_BASE}
        found["two-bases"] = {
            "rope_parameters": {"full_attention": plain, "sliding_attention": local}
        }
    return found


def _by_layer_type(family: str, rotary: dict[str, Any]) -> dict[str, Any]:
    if family not in WITH_TWO_ROTARIES:
        return rotary
    base = BASE if family == "olmo3" else LOCAL_BASE
    return {
        "full_attention": rotary,
        "sliding_attention": {"rope_type": "default", "rope_theta": base},
    }


TEXTS = (
    "What is the capital of Italy?",
    " leading",
    " two  spaces ",
    "Größe naïve café",
    "cafe\u0301",
    "北京 is 上海",
    "مرحبا привет हिन्दी",
    "🙂👍🏽",
    "a\n\tb\r\n",
    "<start>user\nHi<eos>",
    "1234 5.6e-7",
    "<bos><pad>x",
    "",
    "''s don't I'm .",
    "Ａ ﬁ",
    "x <tool> y<img>",
)
"""Several scripts, spaces at the ends, special tokens, nothing at all."""
LETTERS = "abcdefghijklmnopqrstuvwxyzWHI"
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


def tokenizers_by_name() -> dict[str, PreTrainedTokenizerBase]:
    """Tokenizers of several makes, before they are saved."""
    spaced = tiny.tiny_tokenizer()
    spaced.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    named = tiny.tiny_tokenizer()
    named.chat_template = {"default": tiny.CHAT_TEMPLATE, "tool_use": f"T{tiny.CHAT_TEMPLATE}"}
    used = tiny.tiny_tokenizer()
    used(["a", "bbbb"], padding=True, truncation=True, max_length=3)
    added = tiny.tiny_tokenizer()
    added.padding_side = "left"
    added.add_tokens(
        [
            AddedToken("<tool>", lstrip=True, rstrip=True, special=False),
            AddedToken("<img>", special=True),
        ]
    )
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he")]
    pieces = {
        piece: index
        for index, piece in enumerate(
            ("<unk>", "<s>", "</s>", *BYTES, "▁", *LETTERS, "▁t", "he", "▁the")
        )
    }
    of_gemma = {
        piece: index
        for index, piece in enumerate(
            ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *BYTES, "▁", *LETTERS, "he")
        )
    }
    of_qwen = {
        piece: index
        for index, piece in enumerate(
            (*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt", "he", "Ġthe")
        )
    }
    image = PreTrainedTokenizerFast(
        tokenizer_object=tiny.tiny_tokenizer().backend_tokenizer,
        eos_token="<eos>",
        pad_token="<pad>",
        image_token="<start>",
        model_max_length=77,
        clean_up_tokenization_spaces=True,
    )
    words = Tokenizer(
        models.WordLevel({"<unk>": 0, "the": 1, "capital": 2, "of": 3}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.normalizer = normalizers.Lowercase()
    unigram = Tokenizer(
        models.Unigram(
            [("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("the", -1.5), ("h", -3.0), ("t", -3.0)],
            unk_id=0,
        )
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    unigram.decoder = decoders.Metaspace()
    unknown = {"unk_token": "<unk>", "pad_token": "<unk>", "eos_token": "<unk>"}
    return {
        "bytes": tiny.tiny_tokenizer(),
        "chat": tiny.tiny_tokenizer(chat=True),
        "prefix-space": spaced,
        "named-templates": named,
        "used-before": used,
        "added-tokens": added,
        "llama": LlamaTokenizer(vocab=dict(pieces), merges=merges, add_bos_token=True),
        "llama-no-prefix": LlamaTokenizer(
            vocab=dict(pieces), merges=merges, add_prefix_space=False
        ),
        "gemma": GemmaTokenizer(vocab=of_gemma, merges=[("h", "e")]),
        "qwen2": Qwen2Tokenizer(vocab=of_qwen, merges=[("Ġ", "t"), ("h", "e"), ("Ġt", "he")]),
        "named-token": image,
        "words": PreTrainedTokenizerFast(tokenizer_object=words, **unknown),
        "unigram": PreTrainedTokenizerFast(tokenizer_object=unigram, **unknown),
    }
