"""Results of depth studies written by hand, for what reads them."""

from collections.abc import Sequence

from search_cluster.depth.buckets import BUCKET_NAMES, CHANGES, GuessFigures
from search_cluster.depth.layers import LayerCard, PriorCheck
from search_cluster.depth.resamples import Curve, Measured
from search_cluster.depth.result import DepthResult, TextPart

INFLUENCE = (0.9, 0.3, 0.02, 0.03, 0.05, 0.4)
"""Of the layers of a tiny model."""


def measured(value: float) -> Measured:
    """A figure of 100 positions in 10 prompts."""
    return Measured(value=value, low=value - 0.01, high=value + 0.01, n=100, prompts=10)


def card(layer: int, influence: float) -> LayerCard:
    """A layer of which no more is known than its influence."""
    return LayerCard(
        layer=layer,
        influence=measured(influence),
        task_influence=None,
        progress={},
        repairs={},
        score=0.5,
    )


def curve(*values: float) -> Curve:
    """A figure for each depth, of 100 positions in 10 prompts."""
    return Curve(
        value=values,
        low=tuple(value - 0.01 for value in values),
        high=tuple(value + 0.01 for value in values),
        n=(100,) * len(values),
        prompts=10,
    )


def guesses(lens: str, num_depths: int) -> GuessFigures:
    """What a lens that is nearer to the end at each depth guesses."""
    even = curve(*[0.25] * num_depths)
    falling = curve(*(1.0 - depth / (num_depths - 1) for depth in range(num_depths)))
    return GuessFigures(
        lens=lens,
        shares=(even,) * len(BUCKET_NAMES),
        masses=(even,) * len(BUCKET_NAMES),
        flips=(falling,) * len(BUCKET_NAMES),
        changes=(curve(*[1 / len(CHANGES)] * num_depths),) * len(CHANGES),
        divergence=falling,
        agreement=even,
        early_share=measured(0.2),
        early_sign_p=0.01,
        early_flips=measured(0.6),
    )


def made_up_study(
    *,
    fingerprint: str = "0",
    influence: Sequence[float] = INFLUENCE,
    notes: Sequence[str] = ("a line",),
) -> DepthResult:
    """A study of text alone, with one lens."""
    return DepthResult(
        model="tiny",
        model_fingerprint=fingerprint,
        num_layers=len(influence),
        dtype="float32",
        seed=0,
        lens="none",
        thresholds=(1, 10),
        text=TextPart(
            source="made up",
            corpus_tokens=1,
            buckets=(),
            guesses=(guesses("logit", len(influence) + 1),),
            onsets=(),
            bias=None,
        ),
        word_classes=None,
        facts=(),
        questions=None,
        paths=(),
        layers=tuple(card(layer, value) for layer, value in enumerate(influence)),
        prior_checks=(
            PriorCheck(
                by="influence (text)", spearman=measured(0.5), top=(2, 3), held={"0-1,4-5": 2}
            ),
        ),
        notes=tuple(notes),
        counts={"positions": 3},
        versions={"python": "3.11"},
    )
