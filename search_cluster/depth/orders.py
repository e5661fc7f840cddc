"""Content or place: the same questions with their choices in another order, or with other letters.

Where the choice is made by content, the same text is chosen in any order; where it is made by
place, the same letter is. In the other order every choice has another place, so that one answer
can't be both. Options that are collected because they stand in the prompt come up as early if they
are called E to H; those that are merely usual do not.

Shapes: N questions, S states of a position, C options.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_cluster.depth.options import cases_of, collected_depth, settled_depth
from search_cluster.depth.resamples import Curve, Measured, Resamples
from search_cluster.model.depth_states.tables import AnyArray, Bools, Floats, Ints, ReadingTable

OTHER_ORDER = "another order"
"""The form in which choices stand in another order; other forms are named by their letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderControl:
    """What becomes of choices in another form of the same questions, through one lens."""

    options: str
    """``letters``, or ``texts`` as the task asks for them."""
    form: str
    """`OTHER_ORDER`, or other letters, such as ``letters E-H``."""
    lens: str
    case: str
    """``all`` questions, or those whose usual answer at the end is ``right``, or ``wrong``."""
    chance: float
    """How often guesses choose the same."""
    same_text: Curve
    """The share of questions in both of whose forms the same text is the best at a depth."""
    same_place: Curve | None
    """The share in which the same place is; ``None`` where texts keep their places."""
    text_less_place: Measured | None
    """The difference of the two at the end: above 0, the choice is made by content."""
    offered: Curve | None
    """What letters that are offered have of the probability of these and of as many others;
    ``None`` of texts."""
    offered_usually: Curve | None
    """The same in the usual form."""
    collected_later: Measured
    """How much deeper options are collected than in the usual form, in layers."""
    decided_later: Measured
    """How much deeper the choice is made."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AskedForm:
    """What a lens says of the options of some questions in one form."""

    best_SN: Ints
    """The best option's place."""
    collected_N: Floats
    """See `search_cluster.depth.options.OptionRace`."""
    offered_SN: Floats | None
    """See `OrderControl`; ``None`` of texts."""

    def decided(self) -> Floats:
        """The depth from which on the best option is that of the end."""
        return settled_depth(self.best_SN == self.best_SN[-1])


def letter_form(table: ReadingTable, lens: str) -> AskedForm:
    """What a lens says of letters, of which as many are offered as others are asked for."""
    num = (table.asked_NK.shape[1] - 1) // 2
    log_SNK = table.lenses[lens].log_probability_SNK.astype(np.float64)
    offered_SN = np.exp(log_SNK[:, :, 1 : 1 + num]).sum(axis=2)
    others_SN = np.exp(log_SNK[:, :, 1 + num :]).sum(axis=2)
    whole_SN = np.maximum(offered_SN + others_SN, np.finfo(np.float64).tiny)
    return AskedForm(
        best_SN=log_SNK[:, :, 1 : 1 + num].argmax(axis=2),
        collected_N=collected_depth(table, lens, slice(1, 1 + num)),
        offered_SN=offered_SN / whole_SN,
    )


def text_form(table: ReadingTable, lens: str, best_SN: Ints) -> AskedForm:
    """What a lens says of texts.

    Args:
        table: where answers begin; the texts' first tokens are asked for.
        lens: the lens' name.
        best_SN: the best choice of each question, whole texts scored.
    """
    collected_N = collected_depth(table, lens, slice(1, None))
    return AskedForm(best_SN=best_SN, collected_N=collected_N, offered_SN=None)


def order_controls(
    options: str,
    form: str,
    lens: str,
    *,
    usual: AskedForm,
    other: AskedForm,
    order_NC: AnyArray,
    num_choices: Sequence[int],
    gold_N: Ints,
    fact_N: Ints | None = None,
) -> tuple[OrderControl, ...]:
    """Compare two forms of the same questions: all, those that are right, those that are wrong.

    Args:
        options: ``letters`` or ``texts``.
        form: the other form, in words.
        lens: the lens' name.
        usual: the questions as they are.
        other: the same ones in the other form.
        order_NC: the usual place of the choice at each place of the other form.
        num_choices: of each question.
        gold_N: the usual place of the right choice.
        fact_N: the fact that each question asks for; ``None``: each for another one.
    """
    fact_N = np.arange(len(gold_N)) if fact_N is None else fact_N
    text_SN = order_NC[np.arange(len(gold_N)), other.best_SN]
    same_text_SN = text_SN == usual.best_SN
    same_place_SN = other.best_SN == usual.best_SN
    moves = bool((order_NC != np.arange(order_NC.shape[1])).any())
    collected_N = other.collected_N - usual.collected_N
    decided_N = other.decided() - usual.decided()
    chance_N = 1 / np.array(num_choices, dtype=np.float64)
    controls = []
    for case, rows_N in cases_of(usual.best_SN[-1] == gold_N):
        resamples = Resamples(fact_N[rows_N])
        difference_N = same_text_SN[-1].astype(np.float64) - same_place_SN[-1]
        controls.append(
            OrderControl(
                options=options,
                form=form,
                lens=lens,
                case=case,
                chance=float(chance_N[rows_N].mean()),
                same_text=resamples.mean_curve(same_text_SN[:, rows_N]),
                same_place=resamples.mean_curve(same_place_SN[:, rows_N]) if moves else None,
                text_less_place=resamples.mean(difference_N[rows_N]) if moves else None,
                offered=_curve(resamples, other.offered_SN, rows_N),
                offered_usually=_curve(resamples, usual.offered_SN, rows_N),
                collected_later=resamples.mean(collected_N[rows_N]),
                decided_later=resamples.mean(decided_N[rows_N]),
            )
        )
    return tuple(controls)


def _curve(resamples: Resamples, values_SN: Floats | None, rows_N: Bools) -> Curve | None:
    return None if values_SN is None else resamples.mean_curve(values_SN[:, rows_N])
