import numpy as np
import pytest
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.orders import OTHER_ORDER, AskedForm, letter_form, order_controls

NUM_STATES = 3


def form(*best: int) -> AskedForm:
    """Questions whose best option is the first one up to the last depth."""
    best_SN = np.zeros((NUM_STATES, len(best)), dtype=np.int64)
    best_SN[-1] = best
    return AskedForm(best_SN=best_SN, collected_N=np.ones(len(best)), offered_SN=None)


def test_a_choice_that_follows_its_text_is_made_by_content() -> None:
    """Choices 0, 1 change places, and 2, 3 do; the first four go with the text, the last not."""
    order_NC = np.array([[1, 0, 3, 2]] * 5)
    controls = order_controls(
        "letters",
        OTHER_ORDER,
        "logit",
        usual=form(0, 1, 2, 3, 2),
        other=form(1, 0, 3, 2, 2),
        order_NC=order_NC,
        num_choices=[4] * 5,
        gold_N=np.array([0, 1, 0, 0, 0]),
    )
    by_case = {item.case: item for item in controls}
    assert list(by_case) == ["all", "right", "wrong"]
    whole = by_case["all"]
    assert whole.same_place is not None
    assert whole.same_text.value == (0, 0, 0.8)  # at first the first letter is, in both
    assert whole.same_place.value == (1, 1, 0.2)
    assert whole.text_less_place is not None
    assert whole.text_less_place.value == pytest.approx(0.6)
    assert whole.chance == 0.25
    assert whole.offered is None
    assert by_case["right"].same_text.value[-1] == 1
    assert by_case["right"].same_text.n[-1] == by_case["right"].same_text.prompts == 2
    assert by_case["right"].same_text.low[-1] is None  # two questions have no interval
    assert by_case["wrong"].same_text.value[-1] == pytest.approx(2 / 3)


def test_with_other_letters_texts_keep_their_places() -> None:
    (whole,) = order_controls(
        "letters",
        "letters C-D",
        "logit",
        usual=form(0, 1),
        other=form(0, 0),
        order_NC=np.array([[0, 1]] * 2),
        num_choices=[2, 2],
        gold_N=np.array([1, 0]),
    )[:1]
    assert whole.same_place is whole.text_less_place is None
    assert whole.same_text.value[-1] == 0.5
    assert whole.decided_later.value == -1  # of the second question by two, of the first not


def test_letters_on_offer_are_parted_from_those_that_are_not() -> None:
    """The letters that are not offered are likelier until the last depth."""
    rank_SK = np.array([[0, 900, 900, 1, 2], [0, 0, 1, 2, 3]])
    log_SK = np.log(np.array([[1, 0.1, 0.1, 0.4, 0.2], [1, 0.2, 0.6, 0.1, 0.1]]))
    readings = made_up_readings(np.ones((2, 1)), rank_SNK=rank_SK[:, None], log_SNK=log_SK[:, None])
    found = letter_form(made_up_table(readings, asked_NK=[[9, 1, 2, 3, 4]]), "logit")
    assert found.best_SN[:, 0].tolist() == [0, 1]
    assert found.collected_N.tolist() == found.decided().tolist() == [1]
    assert found.offered_SN is not None
    assert found.offered_SN[:, 0] == pytest.approx([0.25, 0.8])


def test_questions_of_one_fact_are_drawn_together_in_every_case() -> None:
    best = (0, 1, 2, 3, 2, 0) * 4
    gold_N = np.array([0, 1, 0, 0, 0, 0] * 4)
    fact_N = np.arange(24) // 2
    alone, together = (
        order_controls(
            "letters",
            OTHER_ORDER,
            "logit",
            usual=form(*best),
            other=form(*best[::-1]),
            order_NC=np.array([[1, 0, 3, 2]] * 24),
            num_choices=[4] * 24,
            gold_N=gold_N,
            fact_N=facts,
        )
        for facts in (None, fact_N)
    )
    right_N = np.array(best) == gold_N
    for one, other, rows_N in zip(
        alone, together, (right_N | ~right_N, right_N, ~right_N), strict=True
    ):
        assert one.decided_later.n == one.decided_later.prompts == rows_N.sum()
        assert other.decided_later.n == rows_N.sum()
        assert other.decided_later.prompts == len(set(fact_N[rows_N].tolist()))
        assert other.same_text.value == one.same_text.value
