"""The verdict of a path on an example, the plain way.

It is the reference that faster engines are tested against.

Shapes: B 1 row, C choices, T tokens, R rows that are read, D width, V vocabulary.
"""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.errors import InvalidValueError
from search_cluster.model.decoding import answer_text, decode_greedily, has_ended, require_finite
from search_cluster.model.head import float32_logits
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict

SCORING_VERSIONS = {"float32": "1", "bfloat16": "2", "float16": "2"}
"""The version of scoring in each dtype, part of what a verdict depends on; it changes whenever the
same tokens would give another verdict. Version 2 reads logits in float32."""


def evaluate_path(loaded: LoadedModel, task: Task, example: Example, path: LayerPath) -> Verdict:
    """What the model says when it runs ``path``.

    It is deterministic on one device with a fixed number of threads.

    Raises:
        InvalidPathError: the path belongs to a model of another depth.
        PromptTooLongError: the example does not fit into the context window.
        NonFiniteLogitsError: a logit that matters is NaN or infinite.
    """
    return evaluate_with(
        materialise(loaded.model, path), loaded, task, example, num_layers_run=len(path)
    )


@torch.inference_mode()
def evaluate_with(
    causal_lm: PreTrainedModel,
    loaded: LoadedModel,
    task: Task,
    example: Example,
    *,
    num_layers_run: int,
) -> Verdict:
    """What any causal LM says that shares ``loaded``'s tokenizer, such as a materialised path.

    CHOICE: each choice is scored by its mean log-probability per token; the best wins, the lowest
    index among equals; the margin is gold minus best wrong. GENERATE: greedy, up to the first EOS
    or stop string; no margin.

    Args:
        causal_lm: the model that answers.
        loaded: the tokenizer, chat style and context window.
        task: how to ask and grade.
        example: the question.
        num_layers_run: the number of layers that ``causal_lm`` runs per token, for
            ``Verdict.num_layer_tokens``.

    Raises:
        PromptTooLongError: the example does not fit into the context window.
        NonFiniteLogitsError: a logit that matters is NaN or infinite.
        InvalidValueError: a CHOICE example without a gold index.
    """
    encoded = encode_example(loaded, task, example)
    margin: float | None
    is_cut: bool | None = None
    if task.kind is AnswerKind.CHOICE:
        scores = score_choices(causal_lm, encoded)
        output = example.choices[scores.index(max(scores))]
        margin = choice_margin(scores, example)
        num_tokens = encoded.num_tokens
    else:
        generated = decode_greedily(
            causal_lm,
            loaded.tokenizer,
            encoded.context_ids,
            max_new_tokens=task.max_new_tokens,
            stop_strings=task.stop_strings,
        )
        output = answer_text(loaded.tokenizer, generated, task.stop_strings)
        margin = None
        num_tokens = encoded.num_tokens + len(generated)
        is_cut = len(generated) == task.max_new_tokens and not has_ended(
            causal_lm, loaded.tokenizer, generated, task.stop_strings
        )
    return Verdict(
        reward=task.grade(example, output),
        margin=margin,
        output=output,
        num_layer_tokens=num_layers_run * num_tokens,
        is_cut=is_cut,
    )


def choice_margin(scores: list[float], example: Example) -> float | None:
    """The gold choice's score minus the best wrong one, in nats per token.

    It is ``None`` if there is only one choice.

    Raises:
        InvalidValueError: the example names no gold choice.
    """
    if example.gold_index is None:
        raise InvalidValueError(
            f"example {example.example_id} has choices but no gold index; set gold_index"
        )
    wrong = scores[: example.gold_index] + scores[example.gold_index + 1 :]
    return scores[example.gold_index] - max(wrong) if wrong else None


@torch.inference_mode()
def score_choices(
    causal_lm: PreTrainedModel, encoded: EncodedExample, begun: DynamicCache | None = None
) -> list[float]:
    """The mean log-probability per token of each choice after the context, in nats.

    The context runs once; the choices run on top of its KV cache as one batch, padded on the right,
    where causal attention never looks. A choice of one token needs nothing but the context's last
    row.

    Args:
        causal_lm: the model that answers.
        encoded: the question.
        begun: keys and values of the first tokens of the context, which do not run again; it is
            used up. ``None``: all of them run.

    Raises:
        NonFiniteLogitsError: a logit that is read is NaN or infinite.
    """
    lengths = [len(ids) for ids in encoded.choice_ids]
    choices_CT = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, ids in enumerate(encoded.choice_ids):
        # Padded with a token of the choice: nothing looks at it, but a NaN in the embedding of a
        # token that no prompt holds would spread (0 times NaN is NaN).
        choices_CT[row] = ids[-1]
        choices_CT[row, : len(ids)] = torch.tensor(ids)
    targets_CT = choices_CT = choices_CT.to(causal_lm.device)
    cache = DynamicCache(config=causal_lm.config) if begun is None else begun
    rest_ids = encoded.context_ids[cache.get_seq_length() :]
    context_BT = torch.tensor([rest_ids], device=causal_lm.device)
    final_BTD = causal_lm.model(context_BT, past_key_values=cache, use_cache=True).last_hidden_state
    logits_CRV = float32_logits(causal_lm, final_BTD[:, -1:]).expand(len(lengths), -1, -1)
    if max(lengths) > 1:
        cache.batch_repeat_interleave(len(lengths))
        later_CRD = causal_lm.model(
            choices_CT[:, :-1], past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits_CRV = torch.cat([logits_CRV, float32_logits(causal_lm, later_CRD)], dim=1)
    targets_CT = targets_CT.to(logits_CRV.device)
    return [
        mean_log_probability(logits_CRV[row, :length], targets_CT[row, :length])
        for row, length in enumerate(lengths)
    ]


def mean_log_probability(logits_RV: Tensor, targets_R: Tensor) -> float:
    """The mean over rows of ``log softmax(logits)[target]``, in float32.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    require_finite(logits_RV)
    log_probs_RV = logits_RV.float().log_softmax(dim=-1)
    return float(log_probs_RV.gather(1, targets_R[:, None]).mean())
