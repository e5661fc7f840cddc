"""How large everything is: on a card, and as a toy that a test can run on a CPU.

The two shapes are those of Llama-3.2-3B and Qwen3-8B.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = Mapping[str, Any]
"""The settings of a transformers config, its ``model_type`` among them."""

LLAMA_3B: Shape = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
QWEN_8B: Shape = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
_TOY: Shape = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of everything that is measured."""

    shapes: Mapping[str, Shape]
    """The models with random weights, by name."""
    product_width: int
    """The width of the square product that says what the device can do."""
    attention_rows: int
    """The rows of a prompt in part A."""
    rows: tuple[int, ...]
    """Rows of a layer call in part B, the most telling first."""
    segments: tuple[int, ...]
    """Segments of a layer call in part B."""
    held_rows: int
    """Rows that a decoding row looks at in part B."""
    choice_rows: tuple[int, int, int]
    """Part C: the rows of a question, the number of its choices, the tokens of a choice."""
    prompt_rows: int
    """Part C: the rows of a question whose answer is generated."""
    answer_tokens: tuple[int, ...]
    """Part C: the tokens of answers."""
    batches: tuple[int, ...]
    """Part C: requests in a batch."""
    call_rows: tuple[int, ...]
    """Part C: the largest numbers of rows in a call."""
    processes: int
    """Part C: how many processes share the device."""
    window_s: float
    """Part C: for how long they are watched."""
    choice_verdicts: int
    """Part D: the number of scored verdicts in each dtype."""
    generated_verdicts: int
    """Part D: the number of generated verdicts in each dtype."""
    evictions: int
    """Part E: the number of states that are thrown away before memory is looked at again."""
    one_by_one_tokens: int
    """Part G: the tokens that are decoded."""
    folder_layers: int
    """Part H: the layers of the 8B shape that are written to a folder and loaded again."""


CARD = Scale(
    shapes={"3B": LLAMA_3B, "8B": QWEN_8B},
    product_width=8192,
    attention_rows=1024,
    rows=(8192, 1024, 256, 64, 4096),
    segments=(1, 8, 64, 256),
    held_rows=128,
    choice_rows=(80, 4, 5),
    prompt_rows=150,
    answer_tokens=(15, 48),
    batches=(16, 64, 256, 1024),
    call_rows=(8192, 1024),
    processes=4,
    window_s=3.0,
    choice_verdicts=300,
    generated_verdicts=200,
    evictions=5000,
    one_by_one_tokens=24,
    folder_layers=3,
)
TOY = Scale(
    shapes={
        "3B": {**LLAMA_3B, **_TOY},
        "8B": {**QWEN_8B, **_TOY},
    },
    product_width=64,
    attention_rows=32,
    rows=(16,),
    segments=(1, 4, 16),
    held_rows=8,
    choice_rows=(12, 3, 2),
    prompt_rows=12,
    answer_tokens=(3,),
    batches=(4, 8),
    call_rows=(64,),
    processes=2,
    window_s=0.2,
    choice_verdicts=8,
    generated_verdicts=3,
    evictions=20,
    one_by_one_tokens=4,
    folder_layers=2,
)
