"""Answers whose tokens stop by themselves: how far each ran, and answers to a task's questions.

Shapes: T tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from router_train.routers.base import RoutedPath
from search_cluster.model.decoding import answer_text, end_ids, has_ended, has_stop, require_finite
from search_cluster.model.head import float32_logits
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.lazy_pass import LazyPass
from search_cluster.model.online.token_exits import TokenExit, TokenExits
from search_cluster.model.prompting import encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWork:
    """What an answer cost whose tokens stopped by themselves."""

    depths: tuple[int, ...]
    """How many layers ran before the prompt's last token was read, and each generated one but the
    last, which is not read."""
    num_layer_tokens: int
    """How often a layer ran for a token, with those that ran later because a token went deeper."""
    num_layer_calls: int
    """How often a layer was called: what counts where a call for a few tokens takes no longer than
    for one."""

    @classmethod
    def of(cls, text: LazyPass, exits: Sequence[TokenExit]) -> "TokenWork":
        """The work of a pass."""
        return cls(
            depths=tuple(stopped.depth for stopped in exits),
            num_layer_tokens=text.num_layer_tokens,
            num_layer_calls=text.num_layer_calls,
        )


def deepest_path(path: LayerPath, exits: Sequence[TokenExit]) -> RoutedPath:
    """The layers that ran for some token, and what was read on the way.

    A token that stopped nowhere is a fallback of the whole answer.
    """
    deepest = max(stopped.depth for stopped in exits)
    return RoutedPath(
        path=LayerPath(path.layers[:deepest], path.num_layers),
        confidence=min(stopped.confidence for stopped in exits),
        num_fallbacks=len(path) if deepest == len(path) else 0,
        num_layer_tokens=0,
        num_read_layer_tokens=sum(stopped.num_read_layers for stopped in exits),
    )


def read_next(
    model: PreTrainedModel, text: LazyPass, exits: TokenExits, new_ids: Sequence[int]
) -> tuple[Tensor, TokenExit]:
    """Put tokens at the end of a text, and read what comes next where the last of them stops.

    Returns:
        Float32 logits ``[1, V]``, and where it stopped.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    text.append(torch.tensor(new_ids, device=model.device))
    hidden_1TD, stopped = text.read(exits)
    logits_1V = stopped.logits_1V
    if logits_1V is None:
        logits_1V = float32_logits(model, model.model.norm(hidden_1TD)[:, -1:])[0]
    require_finite(logits_1V)
    return logits_1V, stopped


@torch.inference_mode()
def answer_by_token(
    loaded: LoadedModel, running: LoadedModel, exits: TokenExits, task: Task, example: Example
) -> tuple[RoutedPath, Verdict]:
    """The greedy answer to a question of a task whose answers are generated.

    The last token is counted as its predecessor, though nothing runs for it, as a verdict of a path
    counts it.

    Args:
        loaded: tokenizer, chat style and context window.
        running: the model that runs, with the bridges that tokens cross which stop.
        exits: decides where tokens stop.
        task: how to ask and grade.
        example: the question.

    Raises:
        PromptTooLongError: the example does not fit into the context window.
        NonFiniteLogitsError: a logit that matters is NaN or infinite.
    """
    model, tokenizer = running.model, loaded.tokenizer
    context_ids = encode_example(loaded, task, example).context_ids
    ends, text = end_ids(model, tokenizer), LazyPass(model, exits.path)
    stopped: list[TokenExit] = []
    generated: list[int] = []
    new_ids: Sequence[int] = context_ids
    while len(generated) < task.max_new_tokens:
        logits_1V, found = read_next(model, text, exits, new_ids)
        stopped.append(found)
        generated.append(int(logits_1V[0].argmax()))
        if generated[-1] in ends or has_stop(answer_text(tokenizer, generated), task.stop_strings):
            break
        new_ids = generated[-1:]
    output = answer_text(tokenizer, generated, task.stop_strings)
    verdict = Verdict(
        reward=task.grade(example, output),
        margin=None,
        output=output,
        num_layer_tokens=text.num_layer_tokens + stopped[-1].depth,
        is_cut=len(generated) == task.max_new_tokens
        and not has_ended(model, tokenizer, generated, task.stop_strings),
    )
    return deepest_path(exits.path, stopped), verdict
