"""How published code evaluates layer paths: one pair, or one path for all questions, at a time.

The engine is measured against it.

Both run the materialised model. They answer with the chosen or generated text and are timed, not
trusted: batched arithmetic flips some of their verdicts.

Shapes: B rows (examples x choices), T tokens, R rows that are read, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.model.decoding import answer_text
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import EncodedExample, encode_example
from search_cluster.model.scoring import mean_log_probability
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task


def answer_one(loaded: LoadedModel, task: Task, example: Example, path: LayerPath) -> str:
    """One example on one path, batch size 1: a padded row per choice, or ``generate()``."""
    return answer_together(loaded, task, [example], path)[0]


@torch.inference_mode()
def answer_together(
    loaded: LoadedModel, task: Task, examples: Sequence[Example], path: LayerPath
) -> list[str]:
    """All examples on one path in one padded batch: the scheduling of the best published code."""
    view = materialise(loaded.model, path)
    encoded = [encode_example(loaded, task, example) for example in examples]
    if task.kind is AnswerKind.CHOICE:
        return _choose(view, examples, encoded)
    return _generate(view, loaded, task, encoded)


def _choose(
    view: PreTrainedModel, examples: Sequence[Example], encoded: Sequence[EncodedExample]
) -> list[str]:
    rows = [(item.context_ids, choice) for item in encoded for choice in item.choice_ids]
    input_ids_BT = _padded([(*context, *choice) for context, choice in rows], left=False).to(
        view.device
    )
    hidden_BTD = view.model(input_ids_BT, use_cache=False).last_hidden_state
    cap = getattr(view.config, "final_logit_softcapping", None)
    scores = []
    for row, (context, choice) in enumerate(rows):
        first = len(context) - 1
        logits_RV = view.lm_head(hidden_BTD[row, first : first + len(choice)])
        logits_RV = logits_RV if cap is None else torch.tanh(logits_RV / cap) * cap
        scores.append(mean_log_probability(logits_RV, torch.tensor(choice, device=view.device)))
    answers = []
    for example, item in zip(examples, encoded, strict=True):
        own, scores = scores[: len(item.choice_ids)], scores[len(item.choice_ids) :]
        answers.append(example.choices[own.index(max(own))])
    return answers


def _generate(
    view: PreTrainedModel, loaded: LoadedModel, task: Task, encoded: Sequence[EncodedExample]
) -> list[str]:
    contexts = [item.context_ids for item in encoded]
    input_ids_BT = _padded(contexts, left=True).to(view.device)
    lengths = torch.tensor([len(context) for context in contexts])
    mask_BT = (
        (torch.arange(input_ids_BT.shape[1]) >= input_ids_BT.shape[1] - lengths[:, None])
        .long()
        .to(view.device)
    )
    output_BT = view.generate(  # type: ignore[operator]
        input_ids_BT, attention_mask=mask_BT, max_new_tokens=task.max_new_tokens, do_sample=False
    )
    new_BT = output_BT[:, input_ids_BT.shape[1] :]
    return [answer_text(loaded.tokenizer, row.tolist(), task.stop_strings) for row in new_BT]


def _padded(rows: Sequence[Sequence[int]], *, left: bool) -> Tensor:
    width = max(map(len, rows))
    padded = [
        [*[0] * (width - len(row)), *row] if left else [*row, *[0] * (width - len(row))]
        for row in rows
    ]
    return torch.tensor(padded)
