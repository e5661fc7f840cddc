"""What a depth study found, in sentences that say how sure they are."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import quote

from search_cluster.depth.contrasts import Contrast
from search_cluster.depth.facts import TokenOrder
from search_cluster.depth.layers import PriorCheck
from search_cluster.depth.result import DepthResult
from search_cluster.model.depth_states.tables import TUNED
from search_cluster.report.depth.control_words import (
    lens_control_words,
    order_words,
    patching_words,
)
from search_cluster.report.depth.numbers import counts, number, sized, verdict_of

MIN_FACTS = 20
"""Facts that a sentence on the order of tokens needs."""


def best_lens(result: DepthResult) -> str:
    """The tuned lens if there is one."""
    lenses = [figures.lens for figures in result.text.guesses]
    return TUNED if TUNED in lenses else lenses[0]


def first_sentence(result: DepthResult) -> str:
    """What stands on top of a page: when answers are settled, or else what is guessed early."""
    found = screen(result)
    settled = [text for topic, text in found if topic == "verdicts"]
    return settled[-1] if settled else found[0][1]


def answers(result: DepthResult, folder: Path) -> list[tuple[str, str]]:
    """Whether it is true, what it cost, and what to do next.

    Args:
        result: what was found.
        folder: the study's folder, for the command to run next.
    """
    counts = result.counts
    lines = [
        (
            "Is it true?",
            "Each line says whether it is sure: whether its 95 % interval excludes zero. A lens is "
            "a reader; what paths show that were run is about the model itself.",
        ),
        (
            "What it cost",
            f"{counts.get('positions', 0):,} positions, {counts.get('head_reads', 0):,} states "
            f"read, {counts.get('executed_verdicts', 0):,} verdicts executed.",
        ),
    ]
    if result.questions is not None:
        lines.append(
            (
                "What next",
                f"search-cluster scan --task {quote(result.questions.task)} --depth-prior "
                f"{quote(str(folder))}: a scan that begins with what is known of layers here.",
            )
        )
    return lines


def headline(result: DepthResult) -> list[str]:
    """What was found, most important first, a sentence each."""
    return [text for _, text in screen(result)]


def screen(result: DepthResult) -> list[tuple[str, str]]:
    """Topics and what was found of each."""
    lens = best_lens(result)
    lines = [("guesses", text) for text in _guesses(result)]
    lines += [("the lens", text) for text in lens_control_words(result)]
    lines += [("word classes", text) for text in _word_classes(result, lens)]
    lines += [("facts", text) for text in _facts(result, lens)]
    lines += [("options", text) for text in _options(result)]
    lines += [("content or place", text) for text in order_words(result, lens)]
    lines += [("patching", text) for text in patching_words(result)]
    lines += [("verdicts", text) for text in _verdicts(result)]
    lines += [("paths", text) for text in _paths(result, lens)]
    lines += [("layers", text) for text in _layers(result)]
    return lines


def _guesses(result: DepthResult) -> Iterable[str]:
    for figures in result.text.guesses:
        early = figures.early_share
        yield (
            f"{figures.lens} lens: after one layer the ten most frequent tokens are "
            f"{_share(figures.shares[0].value[1])} of the guesses, at the end "
            f"{_share(figures.shares[0].value[-1])}: {number(early, percent=True, sign=True)}, "
            f"{verdict_of(early)} ({sized(early)}; sign test p = {figures.early_sign_p:.2g}); "
            f"{number(figures.early_flips, percent=True)} of those early guesses are overturned."
        )
    bias = result.text.bias
    if bias is not None:
        yield (
            f"The lens' own bias: taught {bias.word!r} a thousandth as much, its early share of "
            f"guesses changes by {number(bias.change, percent=True, sign=True)} "
            f"({sized(bias.change)})."
        )


def _word_classes(result: DepthResult, lens: str) -> Iterable[str]:
    if result.word_classes is None:
        return
    for item in result.word_classes.contrasts:
        if _is_shown(item, lens):
            how = "at equal entropy of the output" if item.matched else "as they are"
            yield (
                f"{item.what}, right cases, stable at rank {item.threshold}, {how}: "
                f"{number(item.difference, sign=True)} layers, {verdict_of(item.difference)} "
                f"({sized(item.difference)})."
            )


def _is_shown(item: Contrast, lens: str) -> bool:
    return (
        item.lens == lens
        and item.case == "right"
        and item.crossing == "stable"
        and item.threshold in (1, 10)
        and item.what.startswith("function")
    )


def _facts(result: DepthResult, lens: str) -> Iterable[str]:
    """Which token of an answer is known first, of tokens that the model predicts right."""
    for part in result.facts:
        stable = [item for item in part.orders if (item.lens, item.crossing) == (lens, "stable")]
        if not stable:
            continue
        asked, right = (_num_facts(stable, case) for case in ("all", "right"))
        said = (
            f"{part.source}: of {asked:,} answers of several tokens the model predicts both the "
            f"first and the second token of {right:,}"
        )
        item = _order_of_enough(stable)
        if item is None:
            yield f"{said}: too few to say which one is known first."
            continue
        whose = (
            "of these"
            if item.case == "right"
            else f"of the true tokens that are among the {item.threshold} likeliest at the end"
        )
        yield (
            f"{said}; {whose} the first is stable {number(item.difference, sign=True)} layers "
            f"later than the second (rank {item.threshold}), {verdict_of(item.difference)} "
            f"({counts(item.difference)})."
        )


def _num_facts(orders: Sequence[TokenOrder], case: str) -> int:
    """The facts of a case, whether or not a token of theirs is there at the end."""
    return next(item.difference.n + item.left_out for item in orders if item.case == case)


def _order_of_enough(orders: Sequence[TokenOrder]) -> TokenOrder | None:
    """The strictest comparison of enough facts: of right predictions, or else of true tokens.

    What the model predicts in the place of an answer, right or wrong, says nothing of the answer.
    """
    for case in ("right", "gold"):
        for item in orders:
            if item.case == case and item.difference.prompts >= MIN_FACTS:
                return item
    return None


def _options(result: DepthResult) -> Iterable[str]:
    if result.questions is None:
        return
    for race in result.questions.races:
        if race.options != "foreign letters":
            yield (
                f"{race.options}, {race.lens} lens: options are collected at depth "
                f"{number(race.collected_depth)}, decided at {number(race.decided_depth)}; "
                f"later by {number(race.decided_later, sign=True)}, "
                f"{verdict_of(race.decided_later)} ({counts(race.decided_later)})."
            )


def _verdicts(result: DepthResult) -> Iterable[str]:
    part = result.questions
    if part is None:
        return
    check = part.prefix_check
    if check is not None:
        yield (
            f"The logit lens says what the path of the first k layers says: {check.mismatches} "
            f"mismatches of {check.pairs:,} pairs, {check.ties} ties within "
            f"{check.threshold:g} nats; margins differ by {check.largest_difference:g} at most."
        )
    for item in part.agreements:
        yield (
            f"{item.lens} lens: answers are settled at depth {number(item.lens_depth)}, by "
            f"execution at {number(item.verdict_depth)}; rank correlation "
            f"{number(item.spearman)}, kappa {number(item.kappa)} ({counts(item.lens_depth)}). "
            f"Wrong answers settle {number(item.late_if_wrong, sign=True)} layers later, "
            f"{verdict_of(item.late_if_wrong)}."
        )
    for found in part.predictions:
        if found.gain is not None and found.by.startswith("lens depth"):
            yield (
                f"Whether {found.path} leaves an answer {found.what}: {found.by} has AUC "
                f"{number(found.auc)}, {number(found.gain, sign=True)} beside the margin alone, "
                f"{verdict_of(found.gain)} ({counts(found.auc)}, true of {_share(found.share)})."
            )


def _paths(result: DepthResult, lens: str) -> Iterable[str]:
    for item in result.paths:
        if item.lens == lens:
            where = (
                f"down to half from depth {item.repaired_depth} on"
                if item.repaired_depth is not None
                else "never down to half"
            )
            yield (
                f"{item.path}: the difference from the plain model peaks at depth "
                f"{item.peak_depth}, {where}; KL between the outputs {number(item.last_apart)}, "
                f"same prediction {number(item.agreement, percent=True)}; stable onset at rank 1 "
                f"moves by {number(item.onset_moved[0], sign=True)} layers, "
                f"{verdict_of(item.onset_moved[0])} ({sized(item.onset_moved[0])})."
            )


def _layers(result: DepthResult) -> Iterable[str]:
    if result.layers:
        ordered = sorted(result.layers, key=lambda card: (-card.score, card.layer))
        names = ", ".join(str(card.layer) for card in ordered[:5])
        yield f"By lens and influence alone, least is lost by skipping layers {names}."
    for check in result.prior_checks:
        if check.by.startswith("all"):
            yield f"Against measured single skips: {check_text(check)}"


def check_text(check: PriorCheck) -> str:
    """How well a prior orders layers."""
    held = "; ".join(
        f"{count} of the layers that {path} skips" for path, count in check.held.items()
    )
    return (
        f"{check.by}: rank correlation {number(check.spearman)} "
        f"({counts(check.spearman, 'questions')})"
        f"{'; its best twelve hold ' + held if held else ''}."
    )


def _share(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f} %"
