"""The fingerprint of a loaded model: it changes exactly when verdicts could.

It is taken from what was loaded, not from files: tensors in the dtype in which they compute,
settings that the model's class reads, the tokenizer's whole pipeline, the chat template that is
used, and the tokens that end an answer. Names of files, the order of keys, who saved a folder and
whether the hub could be reached play no part in it.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from search_cluster.model.load.digests import file_digest, remembered_digest
from search_cluster.model.load.weight_files import weight_files

FINGERPRINT_HEX_DIGITS = 32
FINGERPRINT_VERSION = "2"
"""Changes whenever the same model would get another fingerprint."""
PART_HEX_DIGITS = 16
REMOTE_MODULES = "transformers_modules"
"""The package under which transformers imports code that a model brings along."""
NOT_COMPUTED_WITH = frozenset(
    {
        "use_cache",
        "initializer_range",
        "pretraining_tp",
        "attention_dropout",
        "resid_pdrop",
        "embd_pdrop",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "output_router_logits",
        "router_aux_loss_coef",
        "tie_word_embeddings",
        "vocab_size",
    }
)
"""Settings of model classes that do not change the logits of a frozen model. Which tokens end an
answer, and which tensors are tied, is hashed as what it is."""


def fingerprint_of(parts: Mapping[str, str]) -> str:
    """The fingerprint, as 32 hexadecimal digits, of a model that is made of these parts."""
    content = json.dumps([FINGERPRINT_VERSION, sorted(parts.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:FINGERPRINT_HEX_DIGITS]


def parts_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: str,
    template: str,
    ends: frozenset[int],
    source: Path,
) -> dict[str, str]:
    """A short hash of each part of a model.

    Args:
        model: the model as it was loaded.
        tokenizer: its tokenizer.
        dtype: the name of the dtype.
        template: the chat template that prompts are asked in; empty if they are plain text.
        ends: the tokens that end an answer.
        source: the folder or the file that it was loaded from, under which the digest of its
            tensors is remembered.
    """
    weights = remembered_digest(
        source,
        weight_files(source) if source.is_dir() else (),
        ["weights", FINGERPRINT_VERSION, dtype, transformers.__version__, type(model).__name__],
        lambda: _weights_digest(model),
    )
    return {
        "dtype": dtype,
        "weights": weights[:PART_HEX_DIGITS],
        "config": _short(json.dumps(_computed_with(model.config), sort_keys=True)),
        "tokenizer": _short(_tokenizer_text(tokenizer)),
        "chat template": _short(template),
        "end tokens": _short(json.dumps(sorted(ends))),
        "code": _short(json.dumps(_remote_code(model, tokenizer))),
    }


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:PART_HEX_DIGITS]


def _weights_digest(model: PreTrainedModel) -> str:
    """The sha256 over names, shapes, dtypes and bytes of all parameters and persistent buffers."""
    tensors = model.state_dict()
    # Tied weights are one tensor under two names: it is hashed once.
    places = {name: (tensor.data_ptr(), tuple(tensor.shape)) for name, tensor in tensors.items()}
    distinct = {place: tensors[name] for name, place in places.items()}
    with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as threads:
        digests = dict(zip(distinct, threads.map(_tensor_digest, distinct.values()), strict=True))
    lines = [
        [name, str(tensor.dtype), list(tensor.shape), digests[places[name]]]
        for name, tensor in sorted(tensors.items())
    ]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def _tensor_digest(tensor: torch.Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


def _computed_with(config: PreTrainedConfig) -> dict[str, Any]:
    """The settings that the class of a configuration declares and computes with.

    What else a file says (who saved it, notes, labels) is not read by any model of transformers;
    a configuration class that came with the model may read anything, so all of it counts.
    """
    settings = config.to_dict()
    general = set(PreTrainedConfig().to_dict())
    if not type(config).__module__.startswith(REMOTE_MODULES):
        declared = set(type(config)().to_dict())
        settings = {name: value for name, value in settings.items() if name in declared}
    return {
        "model_type": config.model_type,
        **{
            name: value
            for name, value in settings.items()
            if name not in general and name not in NOT_COMPUTED_WITH
        },
    }


def _tokenizer_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """All that decides which ids a text gets, and which ids an answer's text leaves out."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # A named token whose text is not in the vocabulary has no id.
    special = {id_ for id_ in tokenizer.all_special_ids if id_ is not None}
    if backend is None:
        pipeline = json.dumps([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    else:
        pipeline = _pipeline_text(backend)
        # A batch is never padded with it, and the pipeline says which ids have no text.
        special -= {tokenizer.pad_token_id} - _named_otherwise(tokenizer)
    added = {
        index: [token.content, token.special, token.lstrip, token.rstrip, token.normalized]
        for index, token in tokenizer.added_tokens_decoder.items()
    }
    return json.dumps(
        [
            pipeline,
            sorted(added.items()),
            tokenizer.bos_token_id,
            sorted(special),
            bool(getattr(tokenizer, "split_special_tokens", False)),
        ]
    )


def _pipeline_text(backend: Tokenizer) -> str:
    """A tokenizer's pipeline, without how it was last told to cut and to pad; nothing here does."""
    if backend.truncation is not None or backend.padding is not None:
        backend = Tokenizer.from_str(backend.to_str())
        backend.no_truncation()
        backend.no_padding()
    return str(backend.to_str())


def _named_otherwise(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids of special tokens that have another use than to pad."""
    named = [
        token for name, token in tokenizer.special_tokens_map.items() if name != "pad_token"
    ] + list(tokenizer.extra_special_tokens)
    return {
        index for index, token in tokenizer.added_tokens_decoder.items() if token.content in named
    }


def _remote_code(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    """The digests of the Python files that the model brought along and that were run."""
    modules = {type(part).__module__ for part in (model, model.config, tokenizer)}
    files = [
        getattr(sys.modules.get(name), "__file__", None)
        for name in modules
        if name.startswith(REMOTE_MODULES)
    ]
    folders = {Path(file).parent for file in files if file}
    return sorted(
        [path.name, file_digest(path)] for folder in folders for path in folder.glob("*.py")
    )
