"""What a task's questions say: options, verdict depth against lens depth, the fate of answers."""

import numpy as np

from search_cluster.commands.depth.control_findings import order_part
from search_cluster.commands.depth.gathered import GatheredQuestions
from search_cluster.depth.choices import ChoiceScores, choice_scores
from search_cluster.depth.options import OptionRace, option_race, settled_depth
from search_cluster.depth.prediction import BASELINE, DepthPrediction, predict_fate
from search_cluster.depth.resamples import Resamples
from search_cluster.depth.result import PathEffect, QuestionPart
from search_cluster.depth.verdicts import (
    DepthAgreement,
    PrefixCheck,
    check_prefixes,
    compare_depths,
)
from search_cluster.model.depth_states.executed_answers import ExecutedAnswers
from search_cluster.model.depth_states.tables import LOGIT, Floats, Ints
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.constants import ANSWERS
from search_cluster.stats import mean_chance
from search_cluster.tasks.verdict import MARGIN_STEP


def question_part(
    questions: GatheredQuestions, paths: tuple[LayerPath, ...], *, threshold: float
) -> QuestionPart:
    """Count what questions say.

    Args:
        questions: what was read and executed of them.
        paths: the study's paths.
        threshold: gaps up to it are ties, in nats.
    """
    answered_Q = ~np.isnan(questions.plain.reward_PQ[0])
    for answers in (questions.prefixes, questions.found):
        if answers is not None:
            answered_Q &= ~np.isnan(answers.reward_PQ).any(axis=0)
    places = np.flatnonzero(answered_Q)
    right_Q = questions.plain.are_right()[0, places]
    fact_Q = questions.fact_Q[places]
    resamples = Resamples(fact_Q)
    effects = []
    found = questions.found
    if found is not None:
        for path, path_right_Q in zip(paths, found.are_right()[:, places], strict=True):
            effects.append(
                PathEffect(
                    path=str(path),
                    accuracy=resamples.mean(path_right_Q),
                    change=resamples.mean(path_right_Q.astype(float) - right_Q),
                )
            )
    check: PrefixCheck | None = None
    agreements: tuple[DepthAgreement, ...] = ()
    predictions: tuple[DepthPrediction, ...] = ()
    decisions, later, prefixes = questions.decisions, questions.later, questions.prefixes
    if decisions is not None and later is not None and prefixes is not None:
        asked = [int(place) for place in places]
        scores = {lens: choice_scores(decisions, later, lens, asked) for lens in decisions.lenses}
        gold_Q = questions.gold_Q[places]
        answer_LQ = prefixes.choice_PQ[:, places]
        check = check_prefixes(
            scores[LOGIT],
            gold_Q,
            answer_LQ,
            prefixes.margin_PQ[:, places],
            threshold=threshold,
        )
        agreements = tuple(
            compare_depths(lens, found_scores, gold_Q, answer_LQ, fact_Q)
            for lens, found_scores in scores.items()
        )
        if found is not None:
            features = _features(scores, decisions.lenses[LOGIT].entropy_SN[-1], places)
            predictions = tuple(
                item
                for path, choice_Q in zip(paths, found.choice_PQ[:, places], strict=True)
                for item in _predictions(
                    str(path), choice_Q, answer_LQ[-1], gold_Q, features, fact_Q
                )
            )
    return QuestionPart(
        task=questions.task,
        split=questions.split,
        questions=len(places),
        left_out=questions.left_out + int((~answered_Q).sum()),
        accuracy=resamples.mean(right_Q),
        chance=mean_chance(questions.num_choices[place] for place in places) or 0.0,
        races=_races(questions),
        prefix_check=check,
        agreements=agreements,
        path_effects=tuple(effects),
        predictions=predictions,
        order_controls=order_part(questions),
        texts_are_shown=questions.texts_are_shown,
    )


def change_of(answers: ExecutedAnswers, plain: ExecutedAnswers, num: int) -> Floats:
    """How far answers to the first questions are from the plain model's, in [0, 1].

    It is the measure by which searches rank single layers (`search_cluster.scan.measures.change`):
    coarse margins, or whether the answer is another reward where there are none.
    """
    margin_PQ, plain_Q = answers.margin_PQ[:, :num], plain.margin_PQ[0, :num]
    steps_PQ = np.abs(np.floor(margin_PQ / MARGIN_STEP) - np.floor(plain_Q / MARGIN_STEP))
    differs_PQ = answers.reward_PQ[:, :num] != plain.reward_PQ[0, :num]
    by_margin_PQ = np.minimum(1.0, steps_PQ / ANSWERS.max_steps)
    return np.asarray(np.where(np.isnan(steps_PQ), differs_PQ.astype(float), by_margin_PQ))


def _races(questions: GatheredQuestions) -> tuple[OptionRace, ...]:
    races: list[OptionRace] = []
    if questions.decisions is not None:
        table = questions.decisions
        gold_N = questions.gold_Q[table.prompt_N]
        races += option_race(table, options="texts", gold_N=gold_N)
    if questions.letters is not None:
        table = questions.letters.table.of_facts(questions.fact_Q)
        gold_N = questions.letters.gold_N
        num = (table.asked_NK.shape[1] - 1) // 2
        races += option_race(table, options="letters", gold_N=gold_N, num_options=num)
        races += option_race(
            table,
            options="foreign letters",
            gold_N=np.full(len(gold_N), -1),
            first=1 + num,
            num_options=num,
        )
    return tuple(races)


def _features(
    scores: dict[str, ChoiceScores], entropy_N: Floats, places: Ints
) -> dict[str, Floats]:
    """What is known of a question without running a path, gold left out."""
    features = {BASELINE: scores[LOGIT].gap()[-1], "entropy": entropy_N[places].astype(np.float64)}
    for lens, found in scores.items():
        best_SQ = found.best()
        features[f"lens depth, {lens}"] = settled_depth(best_SQ == best_SQ[-1])
    return features


def _predictions(
    path: str,
    choice_Q: Ints,
    plain_Q: Ints,
    gold_Q: Ints,
    features: dict[str, Floats],
    fact_Q: Ints,
) -> list[DepthPrediction]:
    right_Q = plain_Q == gold_Q
    found: list[DepthPrediction] = []
    for what, chosen_Q, happened_Q in (
        ("kept", right_Q, choice_Q == gold_Q),
        ("fixed", ~right_Q, choice_Q == gold_Q),
        ("same", np.ones(len(gold_Q), dtype=bool), choice_Q == plain_Q),
    ):
        own = {name: values_Q[chosen_Q] for name, values_Q in features.items()}
        found += predict_fate(path, what, happened_Q[chosen_Q], own, fact_Q[chosen_Q])
    return found
