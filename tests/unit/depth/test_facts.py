import json
from pathlib import Path

import numpy as np
import pytest
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.facts import answer_groups, read_facts, token_order
from search_cluster.errors import ConfigError


def test_first_and_second_tokens_are_compared_on_the_same_facts() -> None:
    """Fact 0 has one token, facts 1 and 2 have two; the second is there from the start."""
    label_N = [11, 21, 22, 21, 22]
    rank_SN = np.array([[0, 9, 0, 9, 0], [0, 9, 0, 9, 0], [0, 0, 0, 0, 0]])
    readings = made_up_readings(np.ones((3, 5)), rank_SNK=rank_SN[:, :, None].repeat(2, axis=2))
    table = made_up_table(
        readings,
        asked_NK=[[1, 1], [1, 1], [1, 1], [1, 1], [1, 5]],
        prompt_N=[0, 1, 1, 2, 2],
        label_N=label_N,
    )
    found = {(item.case, item.crossing): item for item in token_order(table, (1,))}
    assert found["all", "stable"].difference.value == 2.0
    assert found["all", "stable"].difference.n == 2
    assert found["right", "stable"].difference.n == 1  # of fact 2 the second token is wrong
    assert answer_groups(table)["token 2 of 2"].tolist() == [False, False, True, False, True]


def test_facts_whose_token_is_not_there_at_the_end_are_counted_apart() -> None:
    rank_SN = np.array([[9, 0], [9, 0]])
    readings = made_up_readings(np.ones((2, 2)), rank_SNK=rank_SN[:, :, None].repeat(2, axis=2))
    table = made_up_table(readings, asked_NK=[[1, 1]] * 2, prompt_N=[3, 3], label_N=[21, 22])
    found = [item for item in token_order(table, (1,)) if item.case == "gold"]
    assert [item.left_out for item in found] == [1, 1]
    assert found[0].difference.value is None


def test_answers_that_share_a_fact_are_drawn_together() -> None:
    """Six prompts of two facts, each answered by two tokens."""
    readings = made_up_readings(np.ones((3, 12)), num_asked=2)
    prompt_N, label_N = [n // 2 for n in range(12)], [21, 22] * 6
    table = made_up_table(readings, asked_NK=[[1, 1]] * 12, prompt_N=prompt_N, label_N=label_N)
    of_facts = table.of_facts(np.array([7, 7, 7, 8, 8, 8]))
    for item, other in zip(token_order(table, (1,)), token_order(of_facts, (1,)), strict=True):
        assert (item.difference.n, item.difference.prompts) == (6, 6)
        assert (other.difference.n, other.difference.prompts) == (6, 2)


def test_no_fact_of_two_tokens_gives_nothing() -> None:
    table = made_up_table(made_up_readings([[1], [1]]), asked_NK=[[1, 1]], label_N=[11])
    assert token_order(table, (1,)) == ()


def test_facts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([{"prompt": "Rome is in ", "attribute": " Italy", "known_id": 1}]))
    (fact,) = read_facts(path)
    assert (fact.prompt, fact.answer) == ("Rome is in", "Italy")


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "can't be read as JSON"), ("{}", "no list"), ('[{"prompt": "a"}]', "fact 0")],
)
def test_what_are_no_facts_is_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_facts(path)
