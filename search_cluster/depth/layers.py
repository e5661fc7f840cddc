"""What each layer changes, and how little is lost if it is skipped.

*Block influence* is 1 - cos of the state before and after a layer (ShortGPT, arXiv 2403.03853).
*Progress* is how much nearer to the model's output, in KL, a lens reads after the layer than before
it; *repairs* are guesses that the layer makes final, less those that it unmakes.

Shapes: N positions, S states of a position, L layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from search_cluster.depth.resamples import Measured, Resamples
from search_cluster.depth.verdicts import spearman
from search_cluster.errors import InvalidValueError
from search_cluster.model.depth_states.tables import TUNED, Floats, Ints, ReadingTable

TOP = 12
"""Layers that a search tries as the next skip: those of the best scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCard:
    """What one layer does."""

    layer: int
    influence: Measured
    """Block influence on positions of text."""
    task_influence: Measured | None
    """The same on the task's questions."""
    progress: Mapping[str, Measured]
    """By lens: KL progress on text, in nats."""
    repairs: Mapping[str, Measured]
    """By lens: net share of guesses made final on text."""
    score: float
    """How little is lost if it is skipped, by lens and influence alone: the mean of its places
    among all layers, from 0 (lose it last) to 1 (skip it first)."""
    skip_change: Measured | None = None
    """How much the task's answers change if it alone is skipped, measured; ``None``: it was not."""
    skip_accuracy: Measured | None = None
    """The change of accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorCheck:
    """Whether a prior orders single layers as skipping them does."""

    by: str
    """What the prior is made of."""
    spearman: Measured
    """The rank correlation of the prior with minus the measured change, over layers; the interval
    draws questions again."""
    top: tuple[int, ...]
    """The best `TOP` layers by the prior, the best first."""
    held: Mapping[str, int]
    """By path: how many of the layers that it skips are among them."""


def influence_of(cards: Sequence[LayerCard]) -> tuple[float, ...]:
    """What a search may know of layers before it asks anything: the influence of each on text.

    Alone it puts single skips in order better than together with what lenses read, and better than
    the influence on the task's questions.

    Raises:
        InvalidValueError: no position of text was read.
    """
    values = [card.influence.value for card in cards]
    known = tuple(value for value in values if value is not None)
    if not known or len(known) < len(values):
        raise InvalidValueError(
            f"the depth study knows the influence of {len(known)} of {len(values)} layers; study "
            "the model again"
        )
    return known


def layer_values(table: ReadingTable) -> dict[str, Floats]:
    """By name, what layers do at each position ``[L, N]``; less of it means less is lost."""
    values: dict[str, Floats] = {"influence": table.influence_LN.astype(np.float64)}
    for lens, readings in table.lenses.items():
        divergence_SN = readings.divergence_SN.astype(np.float64)
        final_SN = readings.top_SN == table.asked_NK[:, 0]
        values[f"progress, {lens}"] = divergence_SN[:-1] - divergence_SN[1:]
        values[f"repairs, {lens}"] = final_SN[1:].astype(float) - final_SN[:-1]
    return values


def places(values_L: Floats) -> Floats:
    """From 1 for the layer of which least is lost to 0, by a figure of which less is lost."""
    return np.asarray((len(values_L) - rankdata(values_L)) / max(1, len(values_L) - 1))


def priors(means: Mapping[str, Floats], task_means: Mapping[str, Floats]) -> dict[str, Floats]:
    """Scores of layers by name: each figure alone, on text and on the task, and together.

    Args:
        means: means over positions of text, by the names of `layer_values`.
        task_means: the same over the task's positions; may be empty.
    """
    scores = {f"{name} (text)": places(mean_L) for name, mean_L in means.items()}
    scores |= {f"{name} (task)": places(mean_L) for name, mean_L in task_means.items()}
    for where, found in (("text", means), ("task", task_means)):
        if found:
            scores[f"all ({where})"] = combined(found)
    return scores


def combined(means: Mapping[str, Floats]) -> Floats:
    """The score that is reported: the mean place by influence, tuned progress and tuned repairs."""
    chosen = [
        name
        for name in means
        if name == "influence" or name.endswith(f", {TUNED}") or len(means) == 1
    ]
    return np.asarray(np.mean([places(means[name]) for name in chosen], axis=0))


def check_priors(
    scores: Mapping[str, Floats],
    change_LQ: Floats,
    skipped: Mapping[str, Sequence[int]],
    fact_Q: Ints | None = None,
) -> tuple[PriorCheck, ...]:
    """Compare priors with what skipping each layer alone does.

    Args:
        scores: of layers, by name.
        change_LQ: how much each question's answer changes if a layer is skipped.
        skipped: the layers that known good paths skip, by path.
        fact_Q: the fact that each question asks for; ``None``: each for another one.
    """
    resamples = Resamples(np.arange(change_LQ.shape[1]) if fact_Q is None else fact_Q)
    drawn_BL = resamples.ratio(change_LQ.T, np.ones_like(change_LQ.T))
    everyone = np.ones(change_LQ.shape[1], dtype=bool)
    checks = []
    for name, score_L in scores.items():
        drawn_B = np.array([spearman(score_L, -mean_L) for mean_L in drawn_BL])
        top = [int(layer) for layer in np.lexsort((np.arange(len(score_L)), -score_L))[:TOP]]
        checks.append(
            PriorCheck(
                by=name,
                spearman=resamples.estimate(drawn_B, everyone),
                top=tuple(top),
                held={path: len(set(top) & set(layers)) for path, layers in skipped.items()},
            )
        )
    return tuple(checks)


def layer_cards(
    text: ReadingTable,
    task: ReadingTable | None,
    change_LQ: Floats | None = None,
    accuracy_LQ: Floats | None = None,
    fact_Q: Ints | None = None,
) -> tuple[LayerCard, ...]:
    """The card of each layer.

    Args:
        text: positions of text.
        task: positions of the task's questions; ``None``: there are none.
        change_LQ: how much answers change if a layer is skipped; ``None``: not measured.
        accuracy_LQ: the change of being right.
        fact_Q: the fact that each of these questions asks for; ``None``: each for another one.
    """
    values = layer_values(text)
    resamples = Resamples(text.drawn_by)
    on_task = None if task is None else Resamples(task.drawn_by)
    questions = None
    if change_LQ is not None:
        questions = Resamples(np.arange(change_LQ.shape[1]) if fact_Q is None else fact_Q)
    score_L = combined({name: value_LN.mean(axis=1) for name, value_LN in values.items()})
    cards = []
    for layer in range(text.num_layers):
        skip_change = skip_accuracy = None
        if questions is not None and change_LQ is not None and accuracy_LQ is not None:
            skip_change = questions.mean(change_LQ[layer])
            skip_accuracy = questions.mean(accuracy_LQ[layer])
        cards.append(
            LayerCard(
                layer=layer,
                influence=resamples.mean(values["influence"][layer]),
                task_influence=None
                if task is None or on_task is None
                else on_task.mean(task.influence_LN[layer]),
                progress={
                    lens: resamples.mean(values[f"progress, {lens}"][layer]) for lens in text.lenses
                },
                repairs={
                    lens: resamples.mean(values[f"repairs, {lens}"][layer]) for lens in text.lenses
                },
                score=float(f"{score_L[layer]:.6g}"),
                skip_change=skip_change,
                skip_accuracy=skip_accuracy,
            )
        )
    return tuple(cards)
