"""Greedy decoding with KV cache: the most likely token each time, and nothing else.

It equals ``generate(do_sample=False)`` with a bare generation config. Penalties and other
processors that a model's own generation config asks for do not apply, so that an answer depends on
the weights and the prompt alone.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from search_cluster.errors import NonFiniteLogitsError


def eos_ids(config: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end an answer: the generation config's, or else the tokenizer's."""
    ids = config.eos_token_id if config is not None else None
    if ids is None:
        ids = tokenizer.eos_token_id
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)


@torch.inference_mode()
def decode_greedily(
    causal_lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    context_ids: Sequence[int],
    *,
    max_new_tokens: int,
    stop_strings: Sequence[str] = (),
) -> tuple[int, ...]:
    """The generated ids, up to and including the token that ended the answer.

    That token is an EOS, or the last one of a stop string.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    ends = eos_ids(causal_lm.generation_config, tokenizer)
    cache = DynamicCache(config=causal_lm.config)
    generated: list[int] = []
    input_ids_BT = torch.tensor([list(context_ids)], device=causal_lm.device)
    while len(generated) < max_new_tokens:
        logits_V = causal_lm(
            input_ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[0, -1]
        require_finite(logits_V)
        token = int(logits_V.argmax())
        generated.append(token)
        if token in ends or has_stop(answer_text(tokenizer, generated), stop_strings):
            break
        input_ids_BT = torch.tensor([[token]], device=causal_lm.device)
    return tuple(generated)


def has_ended(
    causal_lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    generated: Sequence[int],
    stop_strings: Sequence[str],
) -> bool:
    """Whether generated ids, at least one, end by themselves: with an EOS or a stop string."""
    return generated[-1] in eos_ids(causal_lm.generation_config, tokenizer) or has_stop(
        answer_text(tokenizer, generated), stop_strings
    )


def answer_text(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], stop_strings: Sequence[str] = ()
) -> str:
    """The text of generated ids without special tokens, cut before the first stop string."""
    text = str(
        tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )
    return text[: _stop_position(text, stop_strings)]


def require_finite(logits: torch.Tensor) -> None:
    """Check logits of any shape.

    Raises:
        NonFiniteLogitsError: one is NaN or infinite.
    """
    if not bool(torch.isfinite(logits).all()):
        num_bad = int((~torch.isfinite(logits)).sum())
        raise NonFiniteLogitsError(
            f"{num_bad} of {logits.numel()} logits are NaN or infinite; this path has no verdict: "
            "try another path, or a dtype with a wider range (bfloat16, float32)"
        )


def has_stop(text: str, stop_strings: Sequence[str]) -> bool:
    """Whether the text holds a stop string, which ends it."""
    return _stop_position(text, stop_strings) is not None


def _stop_position(text: str, stop_strings: Sequence[str]) -> int | None:
    found = [position for stop in stop_strings if (position := text.find(stop)) >= 0]
    return min(found, default=None)
