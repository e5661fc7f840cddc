"""The first screen: what was found, whether it is true, what it cost, and what to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_cluster.report.scan.in_short import in_short
from search_cluster.report.scan.next_step import GUESSING, next_step
from search_cluster.report.scan.words import (
    change_text,
    chosen_finalist,
    edits_text,
    facts_text,
    gain_text,
    is_better,
    is_worse,
    layers_text,
    points,
    span,
    took_text,
)
from search_cluster.scan.left_out import left_out_line
from search_cluster.scan.result import Finalist, ScanResult, Standing
from search_cluster.stats import TOLERATED_LOSS
from search_cluster.telemetry.price import cost_text

NOTHING_SURE = "plain model: nothing is sure"
"""How the first line begins where no path is shown to be better."""

LEAST_SHARE = 1.1
"""From how many times as many verdicts on the difference is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenLine:
    """One line of the first screen."""

    topic: str
    """What it answers."""
    text: str
    """The answer."""
    kind: str = ""
    """``fails`` for what a reader has to beware of."""


def verdict_line(result: ScanResult) -> str:
    """What a scan found, in one sentence; the first line wherever it is told."""
    chosen = chosen_finalist(result)
    guesses = f"; {GUESSING} on test" if result.plain_is_guessing else ""
    if not result.sure or chosen is None or chosen.test is None:
        return f"{NOTHING_SURE}{_best_of_nothing(result)}{guesses}."
    name, test = edits_text(chosen.summary), chosen.test
    layers = layers_text(chosen.summary.layers, result.num_layers)
    where = f"questions of test, with {layers} layers"
    if is_better(test):
        return f"{name} is better than the plain model: {gain_text(test)} {where}{guesses}."
    return (
        f"{name} keeps the plain model's accuracy within {100 * TOLERATED_LOSS:g} point: "
        f"{gain_text(test)} {where}."
    )


def first_screen(
    result: ScanResult, run: Mapping[str, Any], folder: Path
) -> tuple[ScreenLine, ...]:
    """The lines beneath the verdict.

    Args:
        result: what the scan found.
        run: the sums of its sessions; missing keys are left out.
        folder: the run folder, for the command to run next.
    """
    lines = [
        ScreenLine(topic="What was found", text=_found(result)),
        *_held(result),
        ScreenLine(topic="Is it true?", text=_truth(result)),
        ScreenLine(topic="What it cost", text=_cost(result, run)),
        ScreenLine(topic="What next", text=next_step(result, folder)),
    ]
    if left_out := left_out_line(result.left_out):
        lines.insert(-2, ScreenLine(topic="Left out", text=left_out, kind="fails"))
    if result.test_uses > 1:
        lines.insert(
            -2,
            ScreenLine(
                topic="Beware",
                text=f"Test was looked at {result.test_uses} times in this folder. Whoever goes on "
                "choosing after a look chooses by test, too: take a fresh test for the last word.",
                kind="fails",
            ),
        )
    return (*lines, *_guard_lines(result), *_note_lines(result))


def chance_line(result: ScanResult) -> str:
    """What luck alone would show, and how many paths were left out by some of these questions."""
    line = (
        f"The best of {result.chance_paths:,} by chance would show {points(result.chance_best)} "
        f"points on these {result.chance_questions:,} questions"
    )
    look = next(iter(result.rungs), None)
    if look is None or look.num_questions >= result.chance_questions:
        return line
    num_left_out = look.num_paths - look.num_kept
    if not num_left_out:
        return line
    return (
        f"{line}, and luck had more tries: {num_left_out:,} others were left out after a look at "
        f"{look.num_questions:,} of them"
    )


def shown_line(result: ScanResult) -> str:
    """What the questions of test can show."""
    tested = next((item.test for item in result.finalists if item.test is not None), None)
    facts = "" if tested is None else facts_text(tested)
    asked = f" ({tested.num_questions:,} questions{facts})" if tested is not None and facts else ""
    return (
        f"A true gain of {points(result.smallest_gain)} points would show in four of five such "
        f"looks at test{asked}"
    )


def _best_of_nothing(result: ScanResult) -> str:
    """What the best path showed, though nothing is sure of it."""
    if not result.finalists:
        return "; no path was worth a look at validation"
    best = result.finalists[0]
    standing, split = _last_word(best)
    if standing is None:
        return ""
    return (
        f"; the best path, {edits_text(best.summary)}, shows {gain_text(standing)} questions of "
        f"{split}"
    )


def _last_word(finalist: Finalist) -> tuple[Standing | None, str]:
    """What the freshest questions say of a finalist, and their split."""
    if finalist.test is not None:
        return finalist.test, "test"
    return finalist.validation, "validation"


def _found(result: ScanResult) -> str:
    num_tested = sum(item.test is not None for item in result.finalists)
    tried = (
        f"{result.num_candidates:,} paths were compared with the plain model on train, "
        f"{len(result.finalists)} of them on validation, {num_tested} on test"
    )
    chosen = chosen_finalist(result)
    if chosen is None or not result.sure:
        return f"{tried}; the plain model stays."
    return (
        f"{tried}; {edits_text(chosen.summary)} came out, with "
        f"{change_text(chosen.summary.layers, result.num_layers)}: {in_short(result)}"
    )


def _truth(result: ScanResult) -> str:
    uses = {0: "not looked at yet", 1: "looked at once"}.get(
        result.test_uses, f"looked at {result.test_uses} times"
    )
    return f"{chance_line(result)}. {shown_line(result)}, which was {uses}."


def _held(result: ScanResult) -> list[ScreenLine]:
    """What is left of a gain from split to split; nothing without a finalist."""
    judged = chosen_finalist(result) or next(iter(result.finalists), None)
    if judged is None:
        return []
    said = [f"{points(judged.summary.train.gain)} on train, which chose it"]
    said += [
        f"{points(standing.gain)} ({span(standing)}) on {split}"
        for standing, split in ((judged.validation, "validation"), (judged.test, "test"))
        if standing is not None
    ]
    return [ScreenLine(topic="What held", text=f"{edits_text(judged.summary)}: {', '.join(said)}.")]


def _cost(result: ScanResult, run: Mapping[str, Any]) -> str:
    share = result.exhaustive_verdicts / result.verdicts if result.verdicts else 1.0
    fewer = f"{share:.1f} times fewer than" if share >= LEAST_SHARE else "about as many as"
    text = f"{result.verdicts:,} verdicts, {fewer} all paths on all questions would take"
    text += took_text(run)
    if (cost := cost_text(run)) is not None:
        text += f"; {cost}"
    return f"{text}."


def _guard_lines(result: ScanResult) -> list[ScreenLine]:
    judged = chosen_finalist(result)
    if judged is None or not judged.guards:
        return []
    losses = [name for name, standing in judged.guards.items() if is_worse(standing)]
    text = "; ".join(
        f"{name} {points(standing.gain)} ({span(standing)})"
        for name, standing in judged.guards.items()
    )
    if losses:
        return [
            ScreenLine(
                topic="Beware",
                text=f"It surely loses on {', '.join(losses)}. All guards: {text} points.",
                kind="fails",
            )
        ]
    return [ScreenLine(topic="Elsewhere", text=f"No sure loss on the guards: {text} points.")]


def cut_short_line(result: ScanResult) -> str:
    """What ended the search before its plan; empty if nothing did."""
    if not result.stopped_by:
        return ""
    return (
        f"The limit of {result.stopped_by} ended the search before its plan: fewer paths met fewer "
        "questions. A larger one goes on where this one ended."
    )


def _note_lines(result: ScanResult) -> list[ScreenLine]:
    """What else a reader has to know of how it came about."""
    lines = []
    if cut_short := cut_short_line(result):
        lines.append(ScreenLine(topic="Cut short", text=cut_short))
    lines += [
        ScreenLine(
            topic="Splits",
            text=f"{task} has no {' and no '.join(splits)} of its own: {_were(splits)} cut from "
            "train, fact by fact.",
        )
        for task, splits in sorted(result.made_splits.items())
        if splits
    ]
    return lines


def _were(splits: Sequence[str]) -> str:
    return "it was" if len(splits) == 1 else "they were"
