"""The routed model: a frozen LLM that answers each prompt along the path of a router.

The router is asked once per prompt, while the prompt runs; the path then holds for all tokens of
the answer. Every prompt of a batch gets its own path. A `TokenRouter` may be asked for each token
instead, where text is generated; it still chooses a path for what is scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from router_train.inference.export_folder import BASE_FILES, BRIDGES_FOLDER, model_inside
from router_train.inference.model_choice import ModelChoice
from router_train.inference.token_answers import TokenWork, answer_by_token, deepest_path
from router_train.routers.base import ChoiceReader, ModelMaker, RoutedPath, Router, TokenRouter
from router_train.routers.checkpoint import load_router, read_meta
from router_train.routers.online import begin_online_routing
from search_cluster.errors import ConfigError
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.model.decoding import answer_text, end_ids, require_finite
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.materialise import shallow_copy
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.online.causal_lm import with_online_routing
from search_cluster.model.online.chooser import OnlineRouting
from search_cluster.model.online.lazy_cache import LazyCache
from search_cluster.model.online.lazy_lm import with_token_exits
from search_cluster.model.prompting import encode_example, encode_prompt_text, require_known_tokens
from search_cluster.model.scoring import evaluate_path
from search_cluster.model.shortcut.shortcut import shortcut_of
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedAnswer:
    """One answered prompt."""

    text: str
    """The answer without special tokens."""
    token_ids: tuple[int, ...]
    """The generated tokens, the end token included."""
    routed: RoutedPath
    """The router's choice. Its cost is what ran before the choice and is no part of the path, which
    as a rule is nothing. Where tokens stop by themselves, the path of the one that went deepest."""
    work: TokenWork | None = None
    """What ran where tokens stop by themselves; ``None``: the path for each token."""


class RoutedModel:
    """A loaded model and a router that was trained for it.

    Args:
        loaded: the frozen model, which is never changed.
        router: the router, which chooses a path per prompt.
        threshold: in [0, 1]. A decision with a lower probability falls back to running the layer
            once. 0 (the default) trusts every decision, 1 gives the plain model.

    Raises:
        ConfigError: the threshold is out of range.
    """

    def __init__(self, loaded: LoadedModel, router: Router, *, threshold: float = 0.0) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(
                f"threshold is {threshold}; a probability lies in [0, 1]: 0 trusts every decision"
            )
        self._loaded = loaded
        self._router = router
        self._threshold = threshold
        self._running = router.model_of(loaded) if isinstance(router, ModelMaker) else loaded
        self.token_exits = (
            router.token_exits(loaded, threshold=threshold)
            if isinstance(router, TokenRouter)
            else None
        )
        """Where generated tokens stop; ``None`` if the router chooses a path for all of them."""
        self._causal_lm = (
            with_online_routing(self._running.model, self._begin_routing)
            if self.token_exits is None
            else with_token_exits(self._running.model, self.token_exits)
        )
        self._ends = sorted(end_ids(loaded.model, loaded.tokenizer))
        self._pad_id = self._ends[0] if self._ends else 0
        self._answering = shallow_copy(self._causal_lm)
        self._answering.generation_config = GenerationConfig(
            eos_token_id=self._ends or None, pad_token_id=self._pad_id
        )  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        model: str | None = None,
        device: str = "auto",
        threshold: float = 0.0,
    ) -> "RoutedModel":
        """The routed model of a folder that ``router-train fit``, ``static`` or ``export`` wrote.

        Args:
            folder: with ``router.json``; or ``hub:org/name@revision``.
            model: another name for the model that the router was trained for; ``None``: the one
                that lies in the export, or that the router names.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            threshold: see `RoutedModel`.

        Raises:
            ConfigError: the router is missing, unfinished or damaged.
            HubError: there is none on the hub.
            ModelError: the model can't be loaded, or is not the one that the router was trained
                for.
        """
        folder = local_folder(folder, FolderKind.ROUTER, more=BASE_FILES)
        meta = read_meta(folder)
        bridges = folder / BRIDGES_FOLDER
        choice = ModelChoice(
            spec=model or model_inside(folder),
            device=device,
            bridges=bridges if bridges.is_dir() else None,
        )
        loaded = choice.load(meta.model_spec, meta.model_dtype, meta.chat)
        return cls(loaded, load_router(folder, loaded)[0], threshold=threshold)

    @property
    def running(self) -> LoadedModel:
        """The model whose layers the paths run: the frozen one, or what the router made of it."""
        return self._running

    def stops_by_token(self, task: Task) -> bool:
        """Whether the tokens of a task's answers stop by themselves, so that no path answers it."""
        return self.token_exits is not None and task.kind is AnswerKind.GENERATE

    def new_cache(self) -> OnlineCache | LazyCache:
        """What ``generate()`` takes as ``past_key_values``; `routed_paths` reads it afterwards."""
        return OnlineCache() if self.token_exits is None else LazyCache()

    @property
    def keeps_plain(self) -> bool:
        """Whether the plain path of `running` answers as the frozen model does."""
        return self._running is self._loaded or shortcut_of(self._running.model) is None

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The routed model as a causal LM of transformers.

        It has ``forward`` and ``generate()``, with sampling, beams and streamers.
        """
        return self._causal_lm

    def route(self, context_ids: Sequence[int]) -> RoutedPath:
        """The path for one prompt (token ids without padding), without an answer."""
        return self._router.route(self._loaded, context_ids, threshold=self._threshold)

    def route_example(self, task: Task, example: Example) -> RoutedPath:
        """The path for an example's prompt; the gold answer is not looked at.

        Choices are shown to routers that read them, as a `ChoiceReader` does.
        """
        encoded = encode_example(self._loaded, task, example)
        router = self._router
        if encoded.choice_ids and isinstance(router, ChoiceReader):
            router = router.with_choices(encoded.choice_ids)
        return router.route(self._loaded, encoded.context_ids, threshold=self._threshold)

    def evaluate(self, task: Task, example: Example) -> tuple[RoutedPath, Verdict]:
        """Route and answer an example of a task."""
        if self.token_exits is not None and self.stops_by_token(task):
            return answer_by_token(self._loaded, self._running, self.token_exits, task, example)
        routed = self.route_example(task, example)
        return routed, evaluate_path(self._running, task, example, routed.path)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """``causal_lm.generate``, with the signature and results of ``GenerationMixin.generate``.

        Batches are padded on the left, with an attention mask. To learn the paths, pass
        `new_cache` as ``past_key_values``, and give it to `routed_paths`.
        """
        return cast(Any, self._causal_lm.generate)(*args, **kwargs)

    def answer(
        self, prompts: Sequence[str], *, max_new_tokens: int, **options: Any
    ) -> tuple[RoutedAnswer, ...]:
        """Answers to free prompts, each along its own path, in their order.

        They are one batch (where tokens stop by themselves, each is alone), and decoded greedily
        unless ``options`` say otherwise.

        Penalties and other processors that the model's generation config asks for do not apply.

        Args:
            prompts: the prompts; a chat model gets each as the user's message.
            max_new_tokens: the largest number of tokens per answer.
            options: more arguments of ``generate()``, such as ``do_sample=True, temperature=0.7``
                or ``streamer=...``.

        Raises:
            PromptTooLongError: a prompt does not fit into the model's context.
            PromptError: a prompt holds a token that the model has no embedding for.
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        if not prompts:
            return ()
        rows = [
            encode_prompt_text(self._loaded, prompt, max_new_tokens=max_new_tokens)
            for prompt in prompts
        ]
        require_known_tokens(self._loaded, *rows)
        batches = [rows] if self.token_exits is None else [[row] for row in rows]
        return tuple(
            answer
            for batch in batches
            for answer in self._answers(batch, max_new_tokens=max_new_tokens, **options)
        )

    def _answers(
        self, rows: Sequence[Sequence[int]], *, max_new_tokens: int, **options: Any
    ) -> list[RoutedAnswer]:
        """The answers of one batch."""
        ids_BT, mask_BT = pad_left(rows, self._pad_id, self._loaded.model.device)
        cache = self.new_cache()
        sequences_BT = cast(Any, self._answering.generate)(
            ids_BT,
            attention_mask=mask_BT,
            logits_processor=LogitsProcessorList([_RequireFinite()]),
            past_key_values=cache,
            **{"max_new_tokens": max_new_tokens, "do_sample": False, **options},
        )
        generated = [
            _until_end(ids, self._ends) for ids in sequences_BT[:, ids_BT.shape[1] :].tolist()
        ]
        works: Sequence[TokenWork | None] = (
            list(map(TokenWork.of, cache.passes, cache.exits))
            if isinstance(cache, LazyCache)
            else [None] * len(rows)
        )
        return [
            RoutedAnswer(
                text=answer_text(self._loaded.tokenizer, ids),
                token_ids=ids,
                routed=routed,
                work=work,
            )
            for ids, routed, work in zip(generated, routed_paths(cache), works, strict=True)
        ]

    def _begin_routing(self, context_ids: tuple[int, ...]) -> OnlineRouting:
        return begin_online_routing(
            self._router, self._loaded, context_ids, threshold=self._threshold
        )


def routed_paths(cache: OnlineCache | LazyCache) -> tuple[RoutedPath, ...]:
    """What a router chose for each row; layers that it let run in vain are part of the cost.

    Where tokens stop by themselves, it is the path of the one that went deepest.
    """
    if isinstance(cache, LazyCache):
        return tuple(
            deepest_path(text.path, exits)
            for text, exits in zip(cache.passes, cache.exits, strict=True)
        )
    return tuple(
        replace(routed, num_layer_tokens=routed.num_layer_tokens + discarded)
        for choice, discarded in zip(cache.choices, cache.discarded_layer_tokens, strict=True)
        for routed in (cast(RoutedPath, choice),)
    )


def pad_left(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask ``[B, T]`` of prompts of any lengths."""
    longest = max(map(len, rows))
    ids = [[pad_id] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


class _RequireFinite(LogitsProcessor):
    """A processor that ends generation with an error where logits are no numbers."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        require_finite(scores)
        return scores


def _until_end(ids: Sequence[int], ends: Sequence[int]) -> tuple[int, ...]:
    """The tokens up to and including the first that ends an answer; the rest is padding."""
    found = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return tuple(ids[: found + 1])
