"""EleutherAI's evaluation harness (package ``lm-eval``) on a routed model.

Scored continuations are the trap: a router that were given context and continuation as one prompt
would choose a path per choice, and look at the answers. Here it chooses from the context alone;
every continuation runs along that path.

Shapes: N continuations of one context, T tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from torch.nn.utils.rnn import pad_sequence

from router_train.inference.routed_model import RoutedModel, routed_paths
from search_cluster.console import track
from search_cluster.model.decoding import require_finite
from search_cluster.model.head import float32_logits
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath


class RoutedLM(HFLM):  # type: ignore[misc]  # the harness has no types
    """A routed model as the harness sees it, with one path per context, chosen once.

    Args:
        loaded: the frozen model.
        routed_model: the routed model, which chooses the paths.
        batch_size: the number of rows that run together; routed rows of a batch may take different
            paths.
    """

    def __init__(self, loaded: LoadedModel, routed_model: RoutedModel, *, batch_size: int) -> None:
        # The harness sets a padding token where there is none.
        tokenizer = deepcopy(loaded.tokenizer)
        super().__init__(
            pretrained=routed_model.causal_lm,
            tokenizer=tokenizer,
            backend="causal",
            batch_size=batch_size,
        )
        self._loaded, self._routed_model = loaded, routed_model
        self.path_lengths: list[int] = []
        """The length of the path of each answered request."""

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """For each request, the log-probability of its continuation after its context.

        Beside it stands whether the continuation is what greedy decoding gives.
        """
        contexts: dict[tuple[int, ...], list[int]] = {}
        for place, (_, context, continuation) in enumerate(requests):
            # As in the harness: what does not fit is cut on the left.
            kept = context[max(0, len(context) + len(continuation) - self.max_length - 1) :]
            contexts.setdefault(tuple(kept), []).append(place)
        answers: dict[int, tuple[float, bool]] = {}
        for context_ids, places in track(list(contexts.items()), "contexts scored"):
            path = self._routed_model.route(context_ids).path
            size = int(self.batch_size)
            for first in range(0, len(places), size):
                part = places[first : first + size]
                found = self._score(path, context_ids, [requests[place][2] for place in part])
                answers.update(zip(part, found, strict=True))
            self.path_lengths += [len(path)] * len(places)
        results = [answers[place] for place in range(len(requests))]
        for (key, _, _), answer in zip(requests, results, strict=True):
            if key is not None:
                self.cache_hook.add_partial("loglikelihood", key, answer)
        return results

    @torch.inference_mode()
    def _score(
        self, path: LayerPath, context_ids: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[tuple[float, bool]]:
        rows = [torch.tensor([*context_ids, *ids][:-1]) for ids in continuations]
        ids_NT = pad_sequence(rows, batch_first=True).to(
            self._loaded.model.device
        )  # padded where nothing looks
        view = materialise(self._routed_model.running.model, path)
        final_NTD = view.model(ids_NT, use_cache=False).last_hidden_state
        answers = []
        for logits_TV, ids in zip(float32_logits(view, final_NTD), continuations, strict=True):
            read_RV = logits_TV[len(context_ids) - 1 : len(context_ids) - 1 + len(ids)]
            require_finite(read_RV)
            targets_R = torch.tensor(ids, device=read_RV.device)
            log_probs_R = read_RV.log_softmax(dim=-1).gather(1, targets_R[:, None])
            answers.append(
                (float(log_probs_R.sum()), bool((read_RV.argmax(dim=-1) == targets_R).all()))
            )
        return answers

    def _model_generate(
        self, context: Any, max_length: int, stop: list[str], **generation_kwargs: Any
    ) -> Any:
        """Generate as the harness does, and take note of the paths."""
        cache = self._routed_model.new_cache()
        output = super()._model_generate(
            context, max_length, stop, past_key_values=cache, **generation_kwargs
        )
        self.path_lengths += [len(routed.path) for routed in routed_paths(cache)]
        return output
