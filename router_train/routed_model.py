"""The routed model: a frozen LLM that answers each prompt along the layer path that a router chose for it.

The router is asked once per prompt, before decoding; the path then holds for all tokens of the answer, with an ordinary
KV cache. Every prompt gets its own path: a batch is answered one prompt at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from router_train.routers.base import RoutedPath, Router
from search_cluster.errors import ConfigError
from search_cluster.model.decoding import answer_text, decode_greedily
from search_cluster.model.loading import LoadedModel
from search_cluster.model.materialise import materialise
from search_cluster.model.prompting import encode_example, encode_prompt_text
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answered prompt."""

    text: str
    """The answer without special tokens."""
    token_ids: tuple[int, ...]
    """Generated tokens, the end token included."""
    routed: RoutedPath


class RoutedModel:
    """A loaded model and a router that was trained for it.

    Args:
        loaded: the frozen model; never changed.
        router: chooses a path per prompt.
        threshold: in [0, 1]. A decision with a lower probability falls back to running the layer once. 0 (the default)
            trusts every decision, 1 gives the plain model.

    Raises:
        ConfigError: the threshold is out of range.
    """

    def __init__(self, loaded: LoadedModel, router: Router, *, threshold: float = 0.0) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(f"threshold is {threshold}; a probability lies in [0, 1]: 0 trusts every decision")
        self._loaded = loaded
        self._router = router
        self._threshold = threshold

    def route(self, context_ids: Sequence[int]) -> RoutedPath:
        """The path for one prompt (token ids without padding)."""
        return self._router.route(self._loaded, context_ids, threshold=self._threshold)

    def route_example(self, task: Task, example: Example) -> RoutedPath:
        """The path for an example's prompt; choices and gold answer are not looked at."""
        return self.route(encode_example(self._loaded, task, example).context_ids)

    def evaluate(self, task: Task, example: Example) -> tuple[RoutedPath, Verdict]:
        """Routes and answers an example of a task."""
        routed = self.route_example(task, example)
        return routed, evaluate_path(self._loaded, task, example, routed.path)

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int) -> tuple[Generation, ...]:
        """Greedy answers to free prompts, in their order, each along its own path.

        Raises:
            PromptTooLongError: a prompt does not fit into the model's context.
        """
        return tuple(self._answer(prompt, max_new_tokens) for prompt in prompts)

    def _answer(self, prompt: str, max_new_tokens: int) -> Generation:
        context_ids = encode_prompt_text(self._loaded, prompt, max_new_tokens=max_new_tokens)
        routed = self.route(context_ids)
        token_ids = self.generate_ids(context_ids, routed.path, max_new_tokens=max_new_tokens)
        return Generation(text=answer_text(self._loaded.tokenizer, token_ids), token_ids=token_ids, routed=routed)

    def generate_ids(self, context_ids: Sequence[int], path: LayerPath, *, max_new_tokens: int) -> tuple[int, ...]:
        """Greedy tokens after a prompt along one path, with KV cache.

        Raises:
            NonFiniteLogitsError: a logit is NaN or infinite.
        """
        return decode_greedily(
            materialise(self._loaded.model, path), self._loaded.tokenizer, context_ids, max_new_tokens=max_new_tokens
        )
