"""How narrowly the plain model decided: where two roundings may say two things."""

import torch

from search_cluster.model.decoding import decode_greedily
from search_cluster.model.head import float32_logits
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import score_choices
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task

TIE = 1e-5
"""Nats. Float32 logits of the tiny models are of size 1 and differ by about 1e-6 when they are
added up in another order."""


@torch.inference_mode()
def smallest_lead(loaded: LoadedModel, task: Task, example: Example, path: LayerPath) -> float:
    """By how much the materialised model preferred what it said to the next best, in nats.

    Of choices: the best score less the second. Of a written answer: the smallest lead of any of its
    tokens.
    """
    causal_lm = materialise(loaded.model, path)
    encoded = encode_example(loaded, task, example)
    if task.kind is AnswerKind.CHOICE:
        best, second = sorted(score_choices(causal_lm, encoded), reverse=True)[:2]
        return best - second
    written = decode_greedily(
        causal_lm,
        loaded.tokenizer,
        encoded.context_ids,
        max_new_tokens=task.max_new_tokens,
        stop_strings=task.stop_strings,
    )
    ids_BT = torch.tensor([[*encoded.context_ids, *written[:-1]]], device=causal_lm.device)
    final_BTD = causal_lm.model(ids_BT).last_hidden_state
    logits_RV = float32_logits(causal_lm, final_BTD[:, -len(written) :])[0]
    best_two = logits_RV.topk(2).values
    return float((best_two[:, 0] - best_two[:, 1]).min())
