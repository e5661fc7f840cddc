"""A causal LM that chooses a layer path for each prompt while it reads it.

It has the ``generate()`` of transformers. The first pass over a batch of prompts routes every row;
from then on each row follows its own path, with its own cache slots. A layer that no row takes is
never run.
"""

from functools import cache
from typing import Any, cast

from transformers import GenerationMixin, PreTrainedModel

from search_cluster.errors import ModelError
from search_cluster.model.anatomy import anatomy_of
from search_cluster.model.head import float32_head
from search_cluster.model.materialise import shallow_copy
from search_cluster.model.online.body import OnlineBody
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.online.chooser import BeginOnlineRouting
from search_cluster.model.online.lazy_cache import LazyCache

_SPLIT_PROMPTS = ("prefill_chunk_size", "prompt_lookup_num_tokens", "assistant_model")
"""The arguments of ``generate()`` with which the first pass sees less than the prompt, or more."""


def with_online_routing(
    model: PreTrainedModel, begin_routing: BeginOnlineRouting
) -> PreTrainedModel:
    """The model with online routing; shares all weights, and leaves ``model`` as it is.

    Greedy output equals that of the materialised path of each row. ``generate()`` takes everything
    that the model's own does (sampling, beams, stopping criteria, streamers, left-padded batches)
    except what splits the prompt. To learn which paths were taken, pass an `OnlineCache` as
    ``past_key_values`` and read its ``choices``.

    Args:
        model: a causal LM of a supported family, not itself a view.
        begin_routing: begins to route a prompt, given its tokens; called once per distinct prompt
            of a batch.

    Raises:
        UnsupportedFamilyError: the model's family has no anatomy entry.
    """
    anatomy_of(model.config)
    view = shallow_copy(model)
    view.model = OnlineBody(model, begin_routing)
    view.lm_head = float32_head(model.lm_head)
    view.__class__ = _online_class(cast(Any, type(model)))
    return view


class RoutedGeneration(GenerationMixin):
    """Puts a cache of ours where the family would put its own."""

    generation_config: Any
    cache_class: type[OnlineCache | LazyCache] = OnlineCache
    """The cache that keeps what a routed model knows of its rows."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """See ``transformers.GenerationMixin.generate``.

        Raises:
            ModelError: an argument would split the prompt or do without a cache.
        """
        config = kwargs.get("generation_config") or self.generation_config
        if kwargs.get("use_cache", config.use_cache) is False:
            raise ModelError(
                "use_cache is False; a routed model keeps its paths in the cache: leave use_cache "
                "out"
            )
        for name in _SPLIT_PROMPTS:
            if (asked := kwargs.get(name, getattr(config, name, None))) is not None:
                raise ModelError(
                    f"{name} is {asked!r}; a path is chosen from the whole prompt and nothing "
                    f"else: leave {name} out"
                )
        if kwargs.get("past_key_values") is None:
            kwargs["past_key_values"] = self.cache_class()
        return super().generate(*args, **kwargs)  # type: ignore[misc]

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:
        """The family's inputs, with the paths kept where the family drops its cache.

        It may do so where its rotary embedding changes (Phi 3).
        """
        inputs = super().prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[misc]
        cache = kwargs.get("past_key_values")
        if isinstance(cache, self.cache_class) and inputs.get("past_key_values") is None:
            inputs["past_key_values"] = cache.without_keys()
        return inputs


@cache
def _online_class(family: Any) -> Any:
    return type(f"Online{family.__name__}", (RoutedGeneration, family), {})
