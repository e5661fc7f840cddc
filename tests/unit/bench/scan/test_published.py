"""Published protocols over made-up tables."""

import pytest
from support.made_up_tables import made_up_table

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.published import PROTOCOLS, published_figures
from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.errors import ConfigError
from search_cluster.scan.edits import Edit, path_of_edits

CONFIG = ScanReplayConfig(published=40)


def figures(*tables: StoredAnswers) -> dict[str, dict[str, object]]:
    return {item["protocol"]: item for item in published_figures(tables, CONFIG)}


def test_each_protocol_tries_the_blocks_that_it_says() -> None:
    candidates = StoredAnswers(made_up_table(2, num_layers=30)).candidates
    tried = {item.name: sum(map(item.tries, candidates)) for item in PROTOCOLS}
    # 30 * 31 / 2 blocks; 28 + 27 + ... + 23 of 3 to 8 layers; and all skips but that of all layers.
    assert list(tried.values()) == [465, 153, 929]


def test_the_best_of_few_questions_is_worth_little_on_others() -> None:
    found = figures(StoredAnswers(made_up_table(600, num_layers=8)))
    for item in found.values():
        assert item["best_seen"] > 4
        assert item["left_of_it"] < 0
        assert item["of_them_worse_than_plain"] > 0.8
        first = item["first"]
        assert first["left_low"] < first["left"] < first["left_high"]
        assert first["best_by_chance"] > 5
        assert first["other_questions"] == 600 - item["questions"]


def test_a_block_that_truly_helps_much_keeps_its_gain() -> None:
    helpful = path_of_edits([Edit(3, 6, 2)], 8)
    answers = StoredAnswers(made_up_table(600, num_layers=8, helps={helpful: 3.0}))
    true_gain = 100 * answers.gain(helpful, slice(None))  # type: ignore[arg-type]
    found = next(iter(figures(answers).values()))
    assert found["left_of_it"] == pytest.approx(true_gain, abs=4)
    assert found["first"]["block"] == "repeat 3-5"


def test_two_tables_give_half_of_the_questions_each() -> None:
    one, other = (StoredAnswers(made_up_table(100, num_layers=4, seed=seed)) for seed in (0, 1))
    found = list(figures(one, other).values())
    assert [item["questions"] for item in found] == [32, 17, 16]
    assert [item["first"]["other_questions"] for item in found] == [168, 83, 84]


def test_protocols_that_are_run_no_times_say_nothing() -> None:
    answers = StoredAnswers(made_up_table(50, num_layers=4))
    assert published_figures([answers], ScanReplayConfig(published=0)) == []


def test_a_table_of_few_questions_is_refused() -> None:
    answers = StoredAnswers(made_up_table(47, num_layers=2))
    with pytest.raises(ConfigError, match=r"all paths were asked 47 questions; .* need 48"):
        published_figures([answers], CONFIG)
