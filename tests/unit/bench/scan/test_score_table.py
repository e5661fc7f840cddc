"""Tables of scores on disk: whole, unfinished, damaged, or of something else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.made_up_tables import made_up_table

from search_cluster.bench.scan.score_table import (
    ScoreTable,
    begin_table,
    questions_done,
    read_table,
    write_block,
)
from search_cluster.errors import ConfigError, CorpusError

TABLE = made_up_table(5, num_layers=3)


def rows(table: ScoreTable, *places: int) -> dict[int, dict[int, list[float]]]:
    return {place: dict(enumerate(table.scores_QPC[place].tolist())) for place in places}


def test_a_table_comes_back_to_the_bit_whatever_order_its_blocks_came_in(tmp_path: Path) -> None:
    begin_table(tmp_path, TABLE.facts)
    write_block(tmp_path, rows(TABLE, 3, 4))
    write_block(tmp_path, rows(TABLE, 0, 1, 2))
    found = read_table(tmp_path)
    assert found.facts == TABLE.facts
    assert found.paths == TABLE.paths
    assert found.questions == TABLE.questions
    assert found.scores_QPC.tobytes() == TABLE.scores_QPC.tobytes()


def test_an_unfinished_table_has_the_questions_that_are_done(tmp_path: Path) -> None:
    begin_table(tmp_path, TABLE.facts)
    assert questions_done(tmp_path) == set()
    write_block(tmp_path, rows(TABLE, 1, 3))
    assert questions_done(tmp_path) == {1, 3}
    found = read_table(tmp_path)
    assert found.questions == (TABLE.questions[1], TABLE.questions[3])
    assert found.scores_QPC.tobytes() == TABLE.scores_QPC[[1, 3]].tobytes()


def test_a_path_that_failed_and_a_choice_that_is_not_there_have_no_score(tmp_path: Path) -> None:
    begin_table(tmp_path, TABLE.facts)
    of_question = rows(TABLE, 0)[0]
    of_question[1] = []
    of_question[2] = of_question[2][:3]
    write_block(tmp_path, {0: of_question})
    found = read_table(tmp_path).scores_QPC[0]
    assert np.isnan(found[1]).all()
    assert np.isnan(found[2]).tolist() == [False, False, False, True]
    assert found[3].tolist() == of_question[3]


def test_more_questions_are_added_to_a_table_and_fewer_leave_it_as_it_is(tmp_path: Path) -> None:
    fewer = replace(TABLE.facts, questions=TABLE.facts.questions[:2])
    begin_table(tmp_path, fewer)
    write_block(tmp_path, rows(TABLE, 0, 1))
    begin_table(tmp_path, TABLE.facts)
    begin_table(tmp_path, fewer)
    assert read_table(tmp_path).facts == TABLE.facts
    assert questions_done(tmp_path) == {0, 1}


@pytest.mark.parametrize(
    "change",
    [
        {"model_fingerprint": "other"},
        {"dtype": "bfloat16"},
        {"seed": 1},
        {"paths": TABLE.facts.paths[:4]},
        {"questions": TABLE.facts.questions[1:]},
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    begin_table(tmp_path, TABLE.facts)
    with pytest.raises(ConfigError, match=r"holds a table of made up, toy .*; name another"):
        begin_table(tmp_path, replace(TABLE.facts, **change))


def test_what_can_not_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no table of scores that can be read; compute one with"):
        read_table(tmp_path)
    begin_table(tmp_path, TABLE.facts)
    with pytest.raises(CorpusError, match=r"no question of the table .* is done"):
        read_table(tmp_path)
    block = tmp_path / "scores-000000.parquet"
    block.write_bytes(b"PAR1 cut off")
    with pytest.raises(CorpusError, match=r"scores-000000\.parquet is damaged: .*; delete it"):
        read_table(tmp_path)
    block.unlink()
    write_block(tmp_path, {7: rows(TABLE, 0)[0]})
    with pytest.raises(CorpusError, match=r"scores-000007\.parquet is not of the table"):
        read_table(tmp_path)
