"""Tiny random models of every supported family, with a small real tokenizer; built offline."""

from pathlib import Path

import torch
from support.placement import scatter
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

PAD, EOS, BOS, IM_START = "<pad>", "<eos>", "<bos>", "<start>"
PAD_ID, EOS_ID, BOS_ID, IM_START_ID = 0, 1, 2, 3
SPECIAL_TOKENS = (PAD, EOS, BOS, IM_START)
NUM_LAYERS = 6
SLIDING_WINDOW = 5
"""Shorter than every prompt of the tests, so that a wrong mask shows."""
MAX_POSITIONS = 2048
WORDS = (
    "the",
    "answer",
    "what",
    "capital",
    "city",
    "number",
    "question",
    "Ġis",
    "Ġof",
    "Ġthe",
    "Ġans",
)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<start>{{ message['role'] }}\n{{ message['content'] }}<eos>\n"
    "{% endfor %}{% if add_generation_prompt %}<start>assistant\n{% endif %}"
)

_SLIDING = {"sliding_window": SLIDING_WINDOW, "use_sliding_window": True}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_GEMMA = {"head_dim": 8, "sliding_window": SLIDING_WINDOW, "query_pre_attn_scalar": 8}
_FAMILY_SETTINGS: dict[str, dict[str, object]] = {
    "llama": {},
    "mistral": {"sliding_window": SLIDING_WINDOW},
    "qwen2": {**_SLIDING, "max_window_layers": 3},
    "qwen3": {**_SLIDING, "max_window_layers": 3, "head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {**_GEMMA, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 5.0},
    "gemma3_text": {**_GEMMA, "sliding_window_pattern": 3, "final_logit_softcapping": 5.0},
    "olmo2": {},
    "olmo3": {"sliding_window": SLIDING_WINDOW},
    "phi3": {"sliding_window": SLIDING_WINDOW},
    "smollm3": {**_SLIDING, "max_window_layers": 3, "no_rope_layer_interval": 4},
    "mixtral": {"sliding_window": SLIDING_WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **_SLIDING,
        **_EXPERTS,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 32,
        "mlp_only_layers": [2],
    },
    "qwen3_moe": {
        **_SLIDING,
        **_EXPERTS,
        "head_dim": 8,
        "moe_intermediate_size": 16,
        "mlp_only_layers": [2],
    },
    "olmoe": _EXPERTS,
}
FAMILIES = tuple(_FAMILY_SETTINGS)
QUICK_FAMILIES = ("llama", "gemma2", "qwen2_moe")
"""A plain one, one with caps and windows, and a mixture of experts: enough for costly tests of
`make test`."""


def tiny_tokenizer(chat: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE over all bytes and a few words; adds one <bos> in front of plain text."""
    tokens = list(SPECIAL_TOKENS) + sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                merges.append((word[: end - 1], word[end - 1]))
                tokens.append(word[:end])
    backend = Tokenizer(
        BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, BOS_ID)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=EOS,
        bos_token=BOS,
        extra_special_tokens=[IM_START],
    )
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


VOCAB_SIZE = len(tiny_tokenizer())


def tiny_config(model_type: str = "llama", **overrides: object) -> PreTrainedConfig:
    """A config of 6 layers, width 32, with sliding windows of 5 tokens if the family has them."""
    settings: dict[str, object] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_POSITIONS,
        "pad_token_id": PAD_ID,
        "eos_token_id": EOS_ID,
        "bos_token_id": BOS_ID,
    }
    return AutoConfig.for_model(
        model_type, **{**settings, **_FAMILY_SETTINGS[model_type], **overrides}
    )


def tiny_model(model_type: str = "llama", seed: int = 0, **overrides: object) -> PreTrainedModel:
    """A random model in eval mode whose layers differ clearly, norms included (float32, CPU)."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(model_type, **overrides))
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    scatter(model)
    return model.eval().requires_grad_(False)


def longrope_model(*, stable_tokens: int, max_positions: int = MAX_POSITIONS) -> PreTrainedModel:
    """A random Phi 3 whose rotary frequencies change beyond ``stable_tokens`` tokens."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": stable_tokens,
    }
    return tiny_model(
        "phi3",
        max_position_embeddings=max_positions,
        original_max_position_embeddings=stable_tokens,
        rope_parameters={**rope, "short_factor": [1.0] * 4, "long_factor": [3.0] * 4},
    )


def save_tiny_model(
    folder: Path, model_type: str = "llama", chat: bool = False, seed: int = 0
) -> Path:
    """Write a model folder (safetensors, tokenizer, generation config) that needs no hub."""
    tiny_model(model_type, seed).save_pretrained(folder)
    tiny_tokenizer(chat).save_pretrained(folder)
    return folder
