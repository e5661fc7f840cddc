"""What replays prove on made-up tables, where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from support.made_up_tables import made_up_table

from search_cluster.bench.scan import figures, replayed_scan
from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.figures import cover_figures, null_figures, race_figures
from search_cluster.bench.scan.score_table import ScoreTable
from search_cluster.bench.scan.stored_answers import StoredAnswers, best_places
from search_cluster.scan.edits import Edit, path_of_edits

HELPFUL = path_of_edits([Edit(1, 2, 0)], 5)
TABLE = made_up_table(800, num_layers=5, helps={HELPFUL: 0.6})
CONFIG = ScanReplayConfig(
    num_train=224, num_validation=150, num_test=150, races=3, nulls=25, covers=12
)


def test_a_race_finds_what_all_paths_on_all_questions_find_with_fewer_verdicts() -> None:
    found = race_figures(TABLE, CONFIG)
    fresh_gain = 100 * StoredAnswers(TABLE).gain(HELPFUL, np.arange(800))
    assert found["behind_exhaustive_by_seed"] == [0.0, 0.0, 0.0]
    assert found["fresh_gain_race"] == found["fresh_gain_exhaustive"]
    assert found["fresh_gain_race"] == pytest.approx(fresh_gain, abs=1.5)
    assert found["num_fresh"] == 800 - 224
    assert found["verdicts_of_exhaustive"] < 0.6


def partial_table(num_full: int) -> ScoreTable:
    """As if all paths were asked so many questions, and the ten best ones the others."""
    was_asked_QP = TABLE.was_asked_QP.copy()
    kept = best_places(TABLE.of_questions(range(num_full)), 10)
    others = [place for place in range(len(TABLE.paths)) if place not in kept]
    was_asked_QP[num_full:, others] = False
    scores_QPC = np.where(was_asked_QP[:, :, None], TABLE.scores_QPC, np.nan)
    return replace(TABLE, was_asked_QP=was_asked_QP, scores_QPC=scores_QPC)


def test_a_table_that_asks_the_rest_of_the_best_paths_alone_tells_the_same() -> None:
    table = partial_table(240)
    race = race_figures(table, CONFIG)
    assert race["paths_asked_beyond_the_table"] == 0
    assert race["behind_exhaustive_by_seed"] == [0.0, 0.0, 0.0]
    assert race["num_fresh"] == 800 - 224
    null = null_figures(table, CONFIG)
    assert null["num_paths"] == 11
    assert null["call_a_path_better"] <= 4
    cover = cover_figures(table, CONFIG)
    assert cover["again"]["validation"]["paths_held"]["share"] >= 0.93


def test_what_a_race_asks_beyond_the_table_is_counted() -> None:
    assert race_figures(partial_table(20), CONFIG)["paths_asked_beyond_the_table"] > 0


def test_a_choice_that_was_not_asked_what_is_fresh_is_counted_and_not_called_wrong() -> None:
    was_asked_QP = TABLE.was_asked_QP.copy()
    was_asked_QP[300:, TABLE.paths.index(HELPFUL)] = False
    scores_QPC = np.where(was_asked_QP[:, :, None], TABLE.scores_QPC, np.nan)
    table = replace(TABLE, was_asked_QP=was_asked_QP, scores_QPC=scores_QPC)
    found = race_figures(table, CONFIG)
    assert found["paths_asked_beyond_the_table"] >= 3  # the choice of each race at least
    assert found["fresh_gain_exhaustive"] == found["fresh_gain_race"] > 0


def test_a_race_that_chooses_badly_shows_behind_the_exhaustive_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = figures.replay_search

    def worst_first(answers: StoredAnswers, draw: figures.Draw) -> object:
        searched = right(answers, draw)
        return replace(searched, finalists=tuple(reversed(searched.finalists)))

    monkeypatch.setattr(figures, "replay_search", worst_first)
    assert race_figures(TABLE, CONFIG)["behind_exhaustive"] > 5


def test_with_answers_that_are_called_right_at_random_hardly_a_scan_calls_a_path_better() -> None:
    found = null_figures(TABLE, CONFIG)
    assert found["scans"] == 25
    # At most 5 % of the scans may; of 25, 4 or fewer in all but 1 % of all seeds.
    assert found["call_a_path_better"] <= 4
    assert found["usual_way_calls_a_path_better"] >= 24
    assert found["usual_way_gain"] > 10


def test_a_scan_that_skips_its_statistics_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = figures.replay_scan

    def believing(answers: StoredAnswers, draw: figures.Draw, aim: str) -> figures.ReplayedScan:
        found = right(answers, draw, aim)
        better = [path for path, standing in found.on_train.items() if standing.gain > 0]
        return replace(found, sure=tuple(better))

    monkeypatch.setattr(figures, "replay_scan", believing)
    assert null_figures(TABLE, CONFIG)["call_a_path_better"] > 20


def test_intervals_hold_what_paths_truly_gain() -> None:
    found = cover_figures(TABLE, CONFIG)
    for kind in ("apart", "again"):
        assert found[kind]["scans"] == 12
        assert found[kind]["validation"]["paths"] == 12 * 8
    for stage in ("train", "validation", "test"):
        assert found["again"][stage]["paths_held"]["share"] >= 0.93
    assert abs(found["again"]["validation"]["reported_minus_fresh"]) < 1.5


ASKED_OFTEN = made_up_table(900, num_layers=5, helps={HELPFUL: 0.6}, wordings=6)


def test_a_fact_that_is_drawn_twice_is_two_facts() -> None:
    rows = figures.draw_again(ASKED_OFTEN, CONFIG, np.random.default_rng(0)).test
    drawn = StoredAnswers(ASKED_OFTEN).facts_of(rows)
    assert len(rows) == CONFIG.num_test
    assert len(set(drawn)) == CONFIG.num_test / 6
    assert len(set(rows.tolist())) < CONFIG.num_test
    of_former = replace(
        ASKED_OFTEN, questions=tuple(replace(item, fact=None) for item in ASKED_OFTEN.questions)
    )
    assert len(set(StoredAnswers(of_former).facts_of(rows))) == CONFIG.num_test


def test_intervals_hold_where_facts_are_asked_in_several_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = cover_figures(ASKED_OFTEN, CONFIG)["again"]
    monkeypatch.setattr(StoredAnswers, "facts_of", lambda _, rows: list(range(len(rows))))
    by_question = cover_figures(ASKED_OFTEN, CONFIG)["again"]
    for stage in ("validation", "test"):
        assert found[stage]["paths_held"]["share"] >= 0.93
        assert by_question[stage]["paths_held"]["share"] < 0.9


def test_intervals_that_are_too_short_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = figures.replay_scan

    def cut(answers: StoredAnswers, draw: figures.Draw, aim: str) -> figures.ReplayedScan:
        found = right(answers, draw, aim)
        short = {
            path: replace(item, low=item.gain - 0.01, high=item.gain + 0.01)
            for path, item in found.on_validation.items()
        }
        return replace(found, on_validation=short)

    monkeypatch.setattr(figures, "replay_scan", cut)
    found = cover_figures(TABLE, CONFIG)["again"]["validation"]
    assert found["paths_held"]["share"] < 0.7
    assert found["scans_all_held"]["share"] < found["paths_held"]["share"]


def test_on_the_front_too_hardly_a_scan_calls_a_path_better_where_the_plain_model_guesses() -> None:
    assert null_figures(TABLE, replace(CONFIG, aim="front"))["call_a_path_better"] <= 4


@pytest.mark.parametrize("aim", ["accuracy", "layers", "front"])
def test_a_path_that_is_called_better_is_better_by_the_aim(aim: str) -> None:
    found = cover_figures(TABLE, replace(CONFIG, aim=aim))["again"]["sure"]
    assert found["call_a_path_better"]["share"] >= 0.9
    assert found["wrong"]["share"] == 0.0


def test_by_layers_a_scan_that_is_sure_of_everything_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replayed_scan, "is_sure", lambda *_, **__: True)
    harmful = made_up_table(800, num_layers=5)
    found = cover_figures(harmful, replace(CONFIG, aim="layers"))["again"]["sure"]
    assert found["wrong"]["share"] > 0.9


def test_nothing_replayed_is_no_fault() -> None:
    none = replace(CONFIG, nulls=0, covers=0)
    assert null_figures(TABLE, none)["usual_way_gain"] is None
    assert cover_figures(TABLE, none)["apart"]["test"] is None
