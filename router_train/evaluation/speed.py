"""How much faster routed generation is than plain generation, beside what the saved layers allow.

Both run ``generate()`` of transformers on the same left-padded prompts, greedily, for the same
number of tokens, one after the other in every round; the order changes from round to round. A
third, plain generation of the round tells how much of the time the layers take.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from router_train.inference.routed_model import RoutedModel, pad_left
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.cache import OnlineCache
from search_cluster.model.online.lazy_cache import LazyCache
from search_cluster.model.runtime import wait_for_device

MIN_GAIN = 0.01
"""Allowed gains below this are too small for a share of them to mean anything."""
ALLOWED_FORMULA = (
    "speed_up = plain_s / routed_s, both medians over the rounds; "
    "allowed_speed_up = 1 / (1 - layer_time_share * (1 - layer_share)); layer_share: layer "
    "applications of the routed rows over those of the plain ones; layer_time_share: measured "
    "share of plain generation inside its layers; share_of_allowed = (speed_up - 1) / "
    "(allowed_speed_up - 1)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTimes:
    """One round: the same prompts, plain and routed."""

    plain_s: float
    routed_s: float
    layer_time_share: float
    """The layers' share of a plain generation's time: from the first layer's start to the last
    one's end, summed over passes."""
    layer_share: float
    """The mean path length of the rows over the model's depth."""
    layer_call_share: float
    """The layer calls of the routed batch over those of the plain one. It is higher than
    ``layer_share`` where rows part, since a layer is called for whoever takes it."""

    @property
    def speed_up(self) -> float:
        """The plain wall-clock time over the routed one."""
        return self.plain_s / self.routed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpeed:
    """The rounds of one batch size: medians, what follows from them, and how far rounds differ."""

    num_rounds: int
    plain_s: float
    """The median; the next field is the routed one."""
    routed_s: float
    plain_tokens_per_s: float
    """The generated tokens of the whole batch per second of `plain_s`, reading the prompts
    included; the next two fields are the slowest and the fastest round."""
    plain_tokens_per_s_min: float
    plain_tokens_per_s_max: float
    routed_tokens_per_s: float
    """The same of `routed_s`."""
    routed_tokens_per_s_min: float
    routed_tokens_per_s_max: float
    speed_up: float
    """`plain_s` over `routed_s`, so that it is the quotient of the two rates; the next two fields
    are the smallest and the largest quotient within a round."""
    speed_up_min: float
    speed_up_max: float
    allowed_speed_up: float
    """The speed-up if the layers' time shrinks with their applications (Amdahl's law), from the
    median shares."""
    share_of_allowed: float | None
    """The gain over the allowed gain; ``None`` where next to nothing is allowed. See
    `ALLOWED_FORMULA`."""
    speed_up_over_allowed: float
    layer_share: float
    layer_call_share: float
    layer_time_share: float


def measure_speed(
    loaded: LoadedModel,
    routed: RoutedModel,
    prompts: Sequence[Sequence[int]],
    *,
    batch_size: int,
    new_tokens: int,
    num_rounds: int,
) -> BatchSpeed:
    """The speeds at one batch size.

    Every round takes the next prompts, and begins again with the first after the last.

    Raises:
        ConfigError: there are fewer prompts than a batch has rows, or a number is not positive.
    """
    for name, value in (
        ("batch size", batch_size),
        ("new tokens", new_tokens),
        ("rounds", num_rounds),
    ):
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1")
    if len(prompts) < batch_size:
        raise ConfigError(
            f"{len(prompts)} prompts do not fill a batch of {batch_size}; ask a larger task or "
            "split"
        )
    _round(
        loaded,
        routed,
        _batch(loaded, prompts, 0, batch_size),
        new_tokens=min(2, new_tokens),
        plain_first=True,
    )
    rounds = [
        _round(
            loaded,
            routed,
            _batch(loaded, prompts, number, batch_size),
            new_tokens=new_tokens,
            plain_first=number % 2 == 0,
        )
        for number in range(num_rounds)
    ]
    return summarise(rounds, batch_size=batch_size, new_tokens=new_tokens)


def summarise(rounds: Sequence[RoundTimes], *, batch_size: int, new_tokens: int) -> BatchSpeed:
    """The medians of some rounds, and factors of these medians.

    A factor that were a median of its own could contradict the rates beside it. A machine that
    slows down bends no factor much, since both models run in each round; how far it did is in the
    smallest and largest quotients of the rounds, which the factor always lies between.
    """

    def median(value: Callable[[RoundTimes], float]) -> float:
        return statistics.median(map(value, rounds))

    num_tokens = batch_size * new_tokens
    plain_s, routed_s = median(lambda times: times.plain_s), median(lambda times: times.routed_s)
    layer_share = median(lambda times: times.layer_share)
    layer_time_share = median(lambda times: times.layer_time_share)
    speed_up = plain_s / routed_s
    allowed = 1.0 / (1.0 - layer_time_share * (1.0 - layer_share))
    return BatchSpeed(
        num_rounds=len(rounds),
        plain_s=plain_s,
        routed_s=routed_s,
        plain_tokens_per_s=num_tokens / plain_s,
        plain_tokens_per_s_min=num_tokens / max(times.plain_s for times in rounds),
        plain_tokens_per_s_max=num_tokens / min(times.plain_s for times in rounds),
        routed_tokens_per_s=num_tokens / routed_s,
        routed_tokens_per_s_min=num_tokens / max(times.routed_s for times in rounds),
        routed_tokens_per_s_max=num_tokens / min(times.routed_s for times in rounds),
        speed_up=speed_up,
        speed_up_min=min(times.speed_up for times in rounds),
        speed_up_max=max(times.speed_up for times in rounds),
        allowed_speed_up=allowed,
        share_of_allowed=(speed_up - 1) / (allowed - 1) if allowed - 1 >= MIN_GAIN else None,
        speed_up_over_allowed=speed_up / allowed,
        layer_share=layer_share,
        layer_call_share=median(lambda times: times.layer_call_share),
        layer_time_share=layer_time_share,
    )


Batch = tuple[Tensor, Tensor]
"""The token ids and the attention mask of a batch, ``[B, T]``."""


def _batch(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], number: int, batch_size: int
) -> Batch:
    rows = [prompts[(number * batch_size + row) % len(prompts)] for row in range(batch_size)]
    return pad_left(rows, 0, loaded.model.device)


def _round(
    loaded: LoadedModel, routed: RoutedModel, batch: Batch, *, new_tokens: int, plain_first: bool
) -> RoundTimes:
    cache = routed.new_cache()
    times_s: dict[str, float] = {}
    for name in ("plain", "routed") if plain_first else ("routed", "plain"):
        if name == "plain":
            times_s[name] = _generate_s(loaded.model, batch, new_tokens)
        else:
            times_s[name] = _generate_s(routed.causal_lm, batch, new_tokens, cache)
    with _layer_clock(loaded.model) as clock:
        clocked_s = _generate_s(loaded.model, batch, new_tokens)
    layer_share, layer_call_share = _shares(cache, batch, new_tokens, loaded.num_layers)
    return RoundTimes(
        plain_s=times_s["plain"],
        routed_s=times_s["routed"],
        layer_time_share=clock.total_s / clocked_s,
        layer_share=layer_share,
        layer_call_share=layer_call_share,
    )


def _shares(
    cache: OnlineCache | LazyCache, batch: Batch, new_tokens: int, num_layers: int
) -> tuple[float, float]:
    """The layer applications, and the layer calls, of the routed batch over the plain ones."""
    if isinstance(cache, OnlineCache):
        lengths = [len(choice.path) for choice in cache.choices]
        return statistics.fmean(lengths) / num_layers, len(cache.steps) / num_layers
    # The last token of an answer is not read. Rows are called one by one.
    num_tokens = int(batch[1].sum()) + len(batch[1]) * (new_tokens - 1)
    return (
        sum(text.num_layer_tokens for text in cache.passes) / (num_tokens * num_layers),
        sum(text.num_layer_calls for text in cache.passes) / (new_tokens * num_layers),
    )


def _generate_s(
    model: PreTrainedModel,
    batch: Batch,
    new_tokens: int,
    cache: OnlineCache | LazyCache | None = None,
) -> float:
    ids_BT, mask_BT = batch
    extra = {} if cache is None else {"past_key_values": cache}
    wait_for_device(model.device)
    started_s = time.perf_counter()
    model.generate(  # type: ignore[operator]
        ids_BT,
        attention_mask=mask_BT,
        do_sample=False,
        pad_token_id=0,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        **extra,
    )
    wait_for_device(model.device)
    return time.perf_counter() - started_s


class _Clock:
    """A clock that adds up the time between the first layer's start and the last one's end."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._started_s = 0.0
        self.total_s = 0.0

    def start(self, *_: object) -> None:
        wait_for_device(self._model.device)
        self._started_s = time.perf_counter()

    def stop(self, *_: object) -> None:
        wait_for_device(self._model.device)
        self.total_s += time.perf_counter() - self._started_s


@contextmanager
def _layer_clock(model: PreTrainedModel) -> Iterator[_Clock]:
    clock = _Clock(model)
    layers = model.model.layers
    handles = [
        layers[0].register_forward_pre_hook(clock.start),
        layers[-1].register_forward_hook(clock.stop),
    ]
    try:
        yield clock
    finally:
        for handle in handles:
            handle.remove()
