"""From what a study has gathered to what it found."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search_cluster.commands.depth.control_findings import lens_part, patch_part
from search_cluster.commands.depth.gathered import Gathered, GatheredQuestions, GatheredText
from search_cluster.commands.depth.question_findings import change_of, question_part
from search_cluster.depth.bias import bias_figures
from search_cluster.depth.buckets import TARGET, buckets_of, describe_buckets, guess_figures
from search_cluster.depth.conllu import CONTENT_CLASSES, FUNCTION_CLASSES, WORD_CLASSES
from search_cluster.depth.contrasts import Contrast, onset_contrasts
from search_cluster.depth.facts import answer_groups, is_right, token_order
from search_cluster.depth.layers import (
    LayerCard,
    PriorCheck,
    check_priors,
    layer_cards,
    layer_values,
    priors,
)
from search_cluster.depth.onset import THRESHOLDS, onset_figures
from search_cluster.depth.patching import PatchPart
from search_cluster.depth.repair import PathFigures, path_figures
from search_cluster.depth.result import FactPart, QuestionPart, TextPart, WordClassPart
from search_cluster.model.depth_states.tables import Bools, Floats, ReadingTable
from search_cluster.paths.layer_path import LayerPath

PUBLISHED_FUNCTION, PUBLISHED_CONTENT = ("DET", "ADP"), ("NOUN", "VERB", "ADJ")
"""The word classes that the paper compares, punctuation apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The parts of a result."""

    text: TextPart
    word_classes: WordClassPart | None
    facts: tuple[FactPart, ...]
    questions: QuestionPart
    paths: tuple[PathFigures, ...]
    layers: tuple[LayerCard, ...]
    prior_checks: tuple[PriorCheck, ...]
    patching: PatchPart | None


def findings_of(
    gathered: Gathered, *, text_of: Callable[[int], str], threshold: float, words_source: str
) -> Findings:
    """Count everything.

    Args:
        gathered: what was read and executed.
        text_of: what a token says.
        threshold: gaps up to it are ties, in nats.
        words_source: where word classes are from, in words.
    """
    cards, checks = _layers(gathered)
    return Findings(
        text=_text_part(gathered.text, text_of),
        word_classes=None
        if gathered.words is None
        else _word_class_part(gathered.words, words_source),
        facts=tuple(
            FactPart(
                source=source,
                onsets=onset_figures(table, is_right(table), groups=answer_groups(table)),
                orders=token_order(table, THRESHOLDS),
            )
            for source, table in gathered.facts
        ),
        questions=question_part(gathered.questions, gathered.paths, threshold=threshold),
        paths=_path_part(gathered),
        layers=cards,
        prior_checks=checks,
        patching=None if gathered.patch is None else patch_part(gathered.patch),
    )


def _text_part(text: GatheredText, text_of: Callable[[int], str]) -> TextPart:
    bucket_V = buckets_of(text.counts_V)
    right_N = text.table.asked_NK[:, 0] == text.table.asked_NK[:, TARGET]
    everywhere = {"all": np.ones(text.table.num_positions, dtype=bool)}
    return TextPart(
        source=text.source,
        corpus_tokens=int(text.counts_V.sum()),
        buckets=describe_buckets(text.counts_V, text_of),
        guesses=tuple(guess_figures(text.table, lens, bucket_V) for lens in text.table.lenses),
        onsets=onset_figures(text.table, right_N, groups=everywhere),
        bias=None
        if text.bias is None
        else bias_figures(text.bias, text.word, text_of(text.word), text.taught),
        control=lens_part(text, right_N),
    )


def _word_class_part(table: ReadingTable, source: str) -> WordClassPart:
    right_N = table.asked_NK[:, 0] == table.asked_NK[:, TARGET]
    groups = {
        name: table.label_N == place
        for place, name in enumerate(WORD_CLASSES)
        if (table.label_N == place).any()
    }

    def any_of(names: tuple[str, ...]) -> Bools:
        return np.isin(table.label_N, [WORD_CLASSES.index(name) for name in names])

    contrasts: list[Contrast] = []
    for what, first, second in (
        ("function - content", FUNCTION_CLASSES, CONTENT_CLASSES),
        ("DET, ADP - NOUN, VERB, ADJ", PUBLISHED_FUNCTION, PUBLISHED_CONTENT),
        ("PUNCT - NOUN, VERB, ADJ", ("PUNCT",), PUBLISHED_CONTENT),
    ):
        contrasts += onset_contrasts(
            table,
            right_N,
            what=what,
            first_N=any_of(first),
            second_N=any_of(second),
            thresholds=THRESHOLDS,
        )
    return WordClassPart(
        source=source,
        onsets=onset_figures(table, right_N, groups=groups),
        contrasts=tuple(contrasts),
    )


def _path_part(gathered: Gathered) -> tuple[PathFigures, ...]:
    figures = []
    for path, found in zip(gathered.paths, gathered.along, strict=True):
        depths = (0, *(layer + 1 for layer in path.layers))
        num = len(next(iter(found.values())).prompt_N)
        first_N = np.arange(gathered.text.table.num_positions) < num
        plain = gathered.text.table.select(first_N)
        figures += [
            path_figures(str(path), lens, depths, readings, plain, THRESHOLDS)
            for lens, readings in found.items()
        ]
    return tuple(figures)


def _layers(gathered: Gathered) -> tuple[tuple[LayerCard, ...], tuple[PriorCheck, ...]]:
    questions = gathered.questions
    change_LQ, accuracy_LQ = _skip_changes(questions)
    fact_Q = None if change_LQ is None else questions.fact_Q[: change_LQ.shape[1]]
    cards = layer_cards(gathered.text.table, questions.decisions, change_LQ, accuracy_LQ, fact_Q)
    if change_LQ is None:
        return cards, ()
    means = {
        name: value_LN.mean(axis=1) for name, value_LN in layer_values(gathered.text.table).items()
    }
    task_means: dict[str, Floats] = {}
    if questions.decisions is not None:
        task_means = {
            name: value_LN.mean(axis=1)
            for name, value_LN in layer_values(questions.decisions).items()
        }
    skipped = {str(path): skipped_layers(path) for path in gathered.paths}
    return cards, check_priors(priors(means, task_means), change_LQ, skipped, fact_Q)


def skipped_layers(path: LayerPath) -> tuple[int, ...]:
    """The layers that a path leaves out."""
    return tuple(layer for layer, count in enumerate(path.counts()) if not count)


def _skip_changes(questions: GatheredQuestions) -> tuple[Floats | None, Floats | None]:
    """How much answers change, and how being right does, if each layer is skipped alone."""
    skips = questions.skips
    if skips is None:
        return None, None
    num = skips.reward_PQ.shape[1]
    plain_Q = np.nan_to_num(questions.plain.reward_PQ[0, :num]) >= 1
    gains_LQ = skips.are_right().astype(np.float64) - plain_Q
    return change_of(skips, questions.plain, num), gains_LQ
