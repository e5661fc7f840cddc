"""Greedy decoding with KV cache: the most likely token each time, and nothing else.

It equals ``generate(do_sample=False)`` with a bare generation config. Penalties and other
processors that a model's own generation config asks for do not apply, so that an answer depends on
the weights and the prompt alone.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from search_cluster.errors import ModelError, NonFiniteLogitsError
from search_cluster.model.anatomy import num_embeddings
from search_cluster.model.chat_style import turn_end_ids
from search_cluster.model.head import float32_logits

_END_TOKENS = ("eos_token", "eot_token", "eom_token", "end_of_turn_token")
"""The names under which tokenizers have tokens that end an answer."""


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All tokens that end an answer.

    They are the end tokens that the generation config, the model's config and the tokenizer name,
    and the token that the chat template writes behind an answer: files often name one of them only,
    and a model that ends its answer with the other would go on talking to itself.

    Raises:
        ModelError: a config names something that is no token.
    """
    named: set[int] = set()
    for source in (model.generation_config, model.config):
        ids = getattr(source, "eos_token_id", None)
        named.update(_token_ids([] if ids is None else ids if isinstance(ids, list) else [ids]))
    for name in _END_TOKENS:
        token = tokenizer.special_tokens_map.get(name)
        id_ = tokenizer.convert_tokens_to_ids(token) if isinstance(token, str) else None
        if isinstance(id_, int):  # a text that is no token of the vocabulary never comes
            named.add(id_)
    num_tokens = num_embeddings(model)
    # Files write -1, or the id of another vocabulary, for a token that never comes.
    return frozenset(id_ for id_ in named | turn_end_ids(tokenizer) if 0 <= id_ < num_tokens)


def _token_ids(values: Sequence[object]) -> list[int]:
    """The ids out of a model's files, which write whole numbers as floats at times.

    Raises:
        ModelError: one is neither a whole number nor missing.
    """
    ids: list[int] = []
    for value in values:
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise ModelError(
                f"eos_token_id is {value!r} in the model's config.json or generation_config.json; "
                "it is a token's number, or a list of numbers: correct it there"
            )
        ids.append(int(value))
    return ids


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
    ends = end_ids(causal_lm, tokenizer)
    cache = DynamicCache(config=causal_lm.config)
    generated: list[int] = []
    input_ids_BT = torch.tensor([list(context_ids)], device=causal_lm.device)
    while len(generated) < max_new_tokens:
        final_BTD = causal_lm.model(
            input_ids_BT, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits_V = float32_logits(causal_lm, final_BTD[:, -1:])[0, -1]
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
    return generated[-1] in end_ids(causal_lm, tokenizer) or has_stop(
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
