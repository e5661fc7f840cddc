"""What the controls of a depth study say, a sentence each."""

from collections.abc import Iterable

from search_cluster.depth.lens_control import LensControl
from search_cluster.depth.orders import OrderControl
from search_cluster.depth.resamples import Measured
from search_cluster.depth.result import DepthResult
from search_cluster.model.depth_states.tables import LOGIT, SHUFFLED, TUNED
from search_cluster.report.depth.numbers import counts, number, point, sized, verdict_of

MOST = 0.5
"""Letters that are offered have been collected for it if they have more than this share."""


def lens_control_words(result: DepthResult) -> Iterable[str]:
    """What a tuned lens says whatever it reads."""
    control = result.text.control
    if control is None:
        return
    means = control.mean_divergence
    moved = ", ".join(
        f"{number(_moved(control, case), sign=True)} in {case} cases, "
        f"{verdict_of(_moved(control, case))}"
        for case in ("right", "wrong")
    )
    yield (
        "Control of the tuned lens: its translators shuffled among the layers, KL is "
        f"{number(means[SHUFFLED])} nats in the mean of all layers but the last, in the place of "
        f"{number(means[TUNED])}, and {number(means[LOGIT])} through the logit lens: of the tuned "
        f"lens' gain {number(control.kept, percent=True)} does not depend on the layer "
        f"({sized(control.kept)}). Predictions are stable later at rank 1 by {moved}."
    )


def _moved(control: LensControl, case: str) -> Measured:
    return next(item.moved for item in control.moves if (item.case, item.threshold) == (case, 1))


def order_words(result: DepthResult, lens: str) -> Iterable[str]:
    """Whether choices are made by content or by place, and whether what is offered is collected."""
    part = result.questions
    if part is None:
        return
    for item in part.order_controls:
        if item.lens == lens and item.case == "all":
            yield _moved_choices(item) if item.text_less_place is not None else _renamed(item)
    if part.texts_are_shown is False:
        yield (
            f"texts: another order is no control here, since prompts of {part.task} do not show "
            "the choices in their order."
        )


def _moved_choices(item: OrderControl) -> str:
    difference, place = item.text_less_place, item.same_place
    assert difference is not None  # so that texts have moved
    assert place is not None
    by = "content and place can't be told apart"
    if difference.excludes_zero and difference.value is not None:
        by = f"the choice is made by {'content' if difference.value > 0 else 'place'}"
    return (
        f"{item.options} in {item.form}, {item.lens} lens: at the end the same text is chosen in "
        f"{number(point(item.same_text, -1), percent=True)} of the questions and the same place in "
        f"{number(point(place, -1), percent=True)} (guesses: {100 * item.chance:.1f} %): {by}, "
        f"{number(difference, percent=True, sign=True)} ({counts(difference)}). "
        f"{_later(item)}"
    )


def _renamed(item: OrderControl) -> str:
    offered, usual = item.offered, item.offered_usually
    assert offered is not None  # of letters
    assert usual is not None
    half = len(offered.value) // 2
    end = point(offered, -1)
    what = "whether letters are collected for being offered can't be told"
    if end.low is not None and end.low > MOST:
        what = "what is collected are the letters that are offered"
    elif end.high is not None and end.high < MOST:
        what = "the usual letters are collected, offered or not"
    return (
        f"{item.form}, {item.lens} lens: {what}: of the probability of them and of the usual ones "
        f"they have {number(point(offered, half), percent=True)} at depth {half} and "
        f"{number(end, percent=True)} at the end, the usual ones where they are offered "
        f"{number(point(usual, half), percent=True)} and {number(point(usual, -1), percent=True)} "
        f"of themselves and the next ones ({counts(end)}); the choice stays the same in "
        f"{number(point(item.same_text, -1), percent=True)}. {_later(item)}"
    )


def _later(item: OrderControl) -> str:
    collected, decided = item.collected_later, item.decided_later
    return (
        f"Options are collected later by {number(collected, sign=True)} layers, "
        f"{verdict_of(collected)}, and decided by {number(decided, sign=True)}, "
        f"{verdict_of(decided)}."
    )


def patching_words(result: DepthResult) -> Iterable[str]:
    """From where on a state carries its prompt's options into another prompt's run."""
    part = result.patching
    if part is None:
        return
    turned = {item.case: item.turned for item in part.cases}
    cases = ", ".join(
        f"{number(turned[case])} where the donor answers {case}ly ({counts(turned[case])})"
        for case in ("right", "wrong")
        if case in turned
    )
    yield (
        f"Last states of {part.donor} in runs of {part.recipient}: from depth "
        f"{number(turned['all'])} of {result.num_layers} on runs answer with the donor's options "
        f"({', '.join(part.donor_options)}), before it with the recipient's "
        f"({', '.join(part.recipient_options)}) ({counts(turned['all'], 'pairs')}); {cases}. By "
        f"themselves {number(point(part.cases[0].donors, -1), percent=True)} of the donors answer "
        "with their options."
    )
    for item in part.lenses:
        yield (
            f"{item.lens} lens: it finds the options of {part.donor} collected at depth "
            f"{number(item.collected)}; runs turn to them later by "
            f"{number(item.turned_later, sign=True)} layers, {verdict_of(item.turned_later)} "
            f"({counts(item.turned_later)})."
        )
