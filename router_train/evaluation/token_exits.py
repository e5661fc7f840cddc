"""Where generated tokens stop, whether they say what the plain model says, and what that saves.

*On the plain model's text*: the text is given, so that every token is read after the tokens that
the plain model had before it. One token that reads otherwise does not make all behind it differ,
and both models run for the same tokens. *On its own text*: what a user gets.

The layers of the plain model for a text are all of them for each token but the last, which is not
read. Layers of one row are counted, with what is read on the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from router_train.inference.routed_model import RoutedModel
from router_train.inference.token_answers import read_next
from search_cluster.console import track
from search_cluster.errors import ConfigError
from search_cluster.model.decoding import decode_greedily, end_ids
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.lazy_pass import LazyPass
from search_cluster.model.online.token_exits import TokenExits
from search_cluster.stats import CONFIDENCE, NUM_RESAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRun:
    """One text, whose tokens stopped by themselves."""

    new_ids: tuple[int, ...]
    """What each token that was read says comes next."""
    depths: tuple[int, ...]
    """How many layers ran before that was read: of the prompt's last token, and of each new one
    but the last."""
    num_tokens: int
    """The tokens that the plain model would run, those of the prompt included."""
    num_layer_tokens: int
    """How often a layer ran for a token."""
    num_layer_calls: int
    """How often a layer was called."""
    num_read_layers: float
    """What was read on the way, in layers of one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthStops:
    """The tokens that were read at one depth, on the plain model's texts."""

    depth: int
    """The number of layers of the path behind which they were read."""
    layer: int
    """The last of these."""
    tokens: int
    share: float
    agreement: float
    """The share of them that say what the plain model says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWork:
    """What texts took, against the plain model on the same texts."""

    layers_per_token: float
    """With what is read on the way."""
    layers_reading: float
    """Of these, what is read in vain, and the translators that are crossed."""
    layers_saved_share: float
    """Negative if reading costs more than stopping saves."""
    layer_calls_saved_share: float
    """Of the calls of a layer: what counts where a call for a few tokens takes as long as for
    one. Reading is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExitReport:
    """What ``router-train exits --json`` reports of the texts."""

    num_texts: int
    num_tokens: int
    """The tokens that were read on the plain model's texts, as many as it generates."""
    stopped_share: float
    """The share of them that stopped before the path's end."""
    agreement: float
    """The share of all that say what the plain model says; the next two fields are the ends of the
    bootstrap interval over texts at 95 %, ``None`` of one text."""
    agreement_low: float | None
    agreement_high: float | None
    stopped_agreement: float | None
    """The same share of those that stopped; ``None`` if none did."""
    by_depth: tuple[DepthStops, ...]
    on_plain_text: SavedWork
    on_own_text: SavedWork
    same_text_share: float
    """The share of texts of its own that are the plain model's to the last token."""
    same_tokens_share: float
    """The share of the plain model's tokens that come before its own text parts from it."""


def measure_token_exits(
    loaded: LoadedModel,
    routed: RoutedModel,
    prompts: Sequence[Sequence[int]],
    *,
    new_tokens: int,
) -> TokenExitReport:
    """Generate after each prompt, with the plain model and with one whose tokens stop.

    Args:
        loaded: the plain model.
        routed: the routed one.
        prompts: at least one, as token ids.
        new_tokens: the largest number of tokens of a text.

    Raises:
        ConfigError: the router does not let tokens stop by themselves, or there is no prompt.
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    exits = routed.token_exits
    if exits is None:
        raise ConfigError(
            "this router decides once per prompt, so no token stops by itself; train one with "
            "router-train fit --router lens-exit --exit token"
        )
    if not prompts:
        raise ConfigError("there is no prompt to generate after; ask a task or split with some")
    plain, forced, own = [], [], []
    for context_ids in track(prompts, "texts, plain and with exits"):
        text_ids = decode_greedily(
            loaded.model, loaded.tokenizer, context_ids, max_new_tokens=new_tokens
        )
        plain.append(text_ids)
        forced.append(run_text(routed.running, exits, context_ids, given=text_ids))
        own.append(run_text(routed.running, exits, context_ids, num_new=new_tokens))
    return summarise(plain, forced, own, exits, loaded.num_layers)


@torch.inference_mode()
def run_text(
    running: LoadedModel,
    exits: TokenExits,
    context_ids: Sequence[int],
    *,
    given: Sequence[int] = (),
    num_new: int | None = None,
) -> TextRun:
    """Read a text token by token.

    Args:
        running: the model that runs, with the bridges that tokens cross which stop.
        exits: decides where tokens stop.
        context_ids: the prompt.
        given: the tokens of the text, where ``num_new`` is ``None``.
        num_new: the largest number of tokens that are generated greedily.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    model, text = running.model, LazyPass(running.model, exits.path)
    ends = end_ids(model, running.tokenizer)
    said: list[int] = []
    depths: list[int] = []
    num_read_layers = 0.0
    next_ids: Sequence[int] = context_ids
    while len(said) < (len(given) if num_new is None else num_new):
        logits_1V, stopped = read_next(model, text, exits, next_ids)
        depths.append(stopped.depth)
        num_read_layers += stopped.num_read_layers
        said.append(int(logits_1V[0].argmax()))
        if num_new is not None and said[-1] in ends:
            break
        next_ids = said[-1:] if num_new is not None else given[len(said) - 1 : len(said)]
    return TextRun(
        new_ids=tuple(said),
        depths=tuple(depths),
        num_tokens=text.num_tokens,
        num_layer_tokens=text.num_layer_tokens,
        num_layer_calls=text.num_layer_calls,
        num_read_layers=num_read_layers,
    )


def summarise(
    plain: Sequence[Sequence[int]],
    forced: Sequence[TextRun],
    own: Sequence[TextRun],
    exits: TokenExits,
    num_layers: int,
) -> TokenExitReport:
    """The figures of texts.

    Args:
        plain: the tokens of each of the plain model's texts.
        forced: the runs on these texts.
        own: the runs that generated texts of their own.
        exits: what let tokens stop.
        num_layers: of the plain model.
    """
    depths = np.concatenate([run.depths for run in forced])
    agrees_of = [np.equal(run.new_ids, ids) for run, ids in zip(forced, plain, strict=True)]
    agrees = np.concatenate(agrees_of)
    stopped = depths < len(exits.path)
    same = [_num_same(ids, run.new_ids) for ids, run in zip(plain, own, strict=True)]
    low, high = _interval([found.sum() for found in agrees_of], [len(found) for found in agrees_of])
    return TokenExitReport(
        num_texts=len(plain),
        num_tokens=len(depths),
        stopped_share=float(stopped.mean()),
        agreement=float(agrees.mean()),
        agreement_low=low,
        agreement_high=high,
        stopped_agreement=float(agrees[stopped].mean()) if stopped.any() else None,
        by_depth=tuple(
            DepthStops(
                depth=depth,
                layer=exits.path.layers[depth - 1],
                tokens=int((depths == depth).sum()),
                share=float((depths == depth).mean()),
                agreement=float(agrees[depths == depth].mean()),
            )
            for depth in np.unique(depths).tolist()
        ),
        on_plain_text=_saved(forced, num_layers),
        on_own_text=_saved(own, num_layers),
        same_text_share=float(
            np.mean([tuple(ids) == run.new_ids for ids, run in zip(plain, own, strict=True)])
        ),
        same_tokens_share=sum(same) / sum(map(len, plain)),
    )


def _num_same(plain: Sequence[int], own: Sequence[int]) -> int:
    """How many tokens two texts begin with that are the same."""
    differs = (place for place, pair in enumerate(zip(plain, own)) if pair[0] != pair[1])  # noqa: B905 - one may be longer
    return next(differs, min(len(plain), len(own)))


def _saved(runs: Sequence[TextRun], num_layers: int) -> SavedWork:
    num_tokens = sum(run.num_tokens for run in runs)
    reading = sum(run.num_read_layers for run in runs)
    layers = sum(run.num_layer_tokens for run in runs) + reading
    calls = sum(run.num_layer_calls for run in runs)
    plain_calls = num_layers * sum(len(run.depths) for run in runs)
    return SavedWork(
        layers_per_token=layers / num_tokens,
        layers_reading=reading / num_tokens,
        layers_saved_share=1 - layers / (num_tokens * num_layers),
        layer_calls_saved_share=1 - calls / plain_calls,
    )


def _interval(
    num_same: Sequence[int], num_tokens: Sequence[int]
) -> tuple[float | None, float | None]:
    """The percentile bootstrap interval of a share of tokens, of which texts are drawn anew."""
    if len(num_tokens) < 2:
        return None, None
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(num_tokens), size=(NUM_RESAMPLES, len(num_tokens)))
    shares = np.array(num_same)[drawn].sum(axis=1) / np.array(num_tokens)[drawn].sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(shares, [tail, 1 - tail])
    return float(low), float(high)
