"""The states of a question's rows along a path, from the one pass that scores its choices.

An answer is read off few rows: the prompt's last one, and those of each choice but its last token.

Shapes: S states of a row (one more than the path has layers), N rows, C choices, T tokens, R rows
of a choice, D width, V vocabulary.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import EncodedExample
from search_cluster.model.scoring import score_choices
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AnswerRows:
    """What one question's pass left."""

    states_SND: Tensor
    """Of the rows that are read: the prompt's last, then those of the choices."""
    context_STD: Tensor
    """Of the prompt's other rows, without those of the template that questions begin with."""
    row_of_token: tuple[tuple[int, ...], ...]
    """For each choice, the row of ``states_SND`` that predicts each of its tokens."""
    scores: tuple[float, ...]
    """The path's mean log-probability per token of each choice, in nats."""

    def scores_of(self, log_NV: Tensor, choice_ids: Sequence[Sequence[int]]) -> list[float]:
        """The scores of the choices by other log-probabilities of the same rows."""
        return [
            float(log_NV[torch.tensor(rows), torch.tensor(ids)].mean())
            for rows, ids in zip(self.row_of_token, choice_ids, strict=True)
        ]


class AnswerRecorder:
    """Scores choices along a path, and keeps the states on the way.

    The model itself is not changed; one thread uses it.
    """

    def __init__(self, loaded: LoadedModel, path: LayerPath) -> None:
        self._view = materialise(loaded.model, path)
        self._passes: list[list[Tensor]] = []
        self._begun: dict[tuple[int, ...], DynamicCache] = {}
        self._hook_up(self._view)

    @torch.inference_mode()
    def record(self, encoded: EncodedExample) -> AnswerRows:
        """The rows of one question with choices.

        Raises:
            NonFiniteLogitsError: a logit that the path ends in is NaN or infinite.
        """
        template = self._begin_alike(encoded)
        self._passes.clear()
        scores = score_choices(self._view, encoded, template)
        context_STD = torch.stack([state[0] for state in self._passes[0]])
        places: dict[tuple[int, ...], int] = {(): 0}  # choices that begin alike share rows
        kept = [context_STD[:, -1]]
        row_of_token = []
        for choice, ids in enumerate(encoded.choice_ids):
            rows = []
            for length in range(len(ids)):
                begun = tuple(ids[:length])
                if begun not in places:
                    places[begun] = len(kept)
                    later = [state[choice, length - 1] for state in self._passes[1]]
                    kept.append(torch.stack(later))
                rows.append(places[begun])
            row_of_token.append(tuple(rows))
        self._passes.clear()
        return AnswerRows(
            states_SND=torch.stack(kept, dim=1),
            context_STD=context_STD[:, :-1],
            row_of_token=tuple(row_of_token),
            scores=tuple(scores),
        )

    def _hook_up(self, view: PreTrainedModel) -> None:
        """Let the view's layers, which are copies with hooks of their own, keep their states."""
        view.model.layers[0].register_forward_pre_hook(self._begin)
        for layer in view.model.layers:
            layer.register_forward_hook(self._keep)

    def _begin_alike(self, encoded: EncodedExample) -> DynamicCache:
        """Keys and values of the template that a question begins with, which is run once."""
        template_ids = encoded.context_ids[
            : min(encoded.num_template_ids, len(encoded.context_ids) - 1)
        ]
        if template_ids not in self._begun:
            cache = DynamicCache(config=self._view.config)
            if template_ids:
                ids_BT = torch.tensor([template_ids], device=self._view.device)
                self._view.model(ids_BT, past_key_values=cache, use_cache=True)
            self._begun[template_ids] = cache
        return copy.deepcopy(self._begun[template_ids])

    def _begin(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._passes.append([arguments[0]])

    def _keep(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        self._passes[-1].append(output)
