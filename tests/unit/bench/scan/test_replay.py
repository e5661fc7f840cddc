"""What a replay refuses before it replays, and which questions it leaves out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.depth_studies import made_up_study
from support.made_up_tables import made_up_table

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.replay import replay_table
from search_cluster.bench.scan.score_table import begin_table, write_block
from search_cluster.depth.result import write_depth_result
from search_cluster.errors import ConfigError

NUM_LAYERS = 4
TABLE = made_up_table(160, num_layers=NUM_LAYERS)
CONFIG = ScanReplayConfig(
    num_train=48, num_validation=32, num_test=32, races=1, nulls=1, covers=1, published=0
)
INFLUENCE = (0.1,) * NUM_LAYERS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The table on disk; the plain model has no answer to a quarter of its questions."""
    begin_table(tmp_path / "table", TABLE.facts)
    rows = {
        place: {
            path: [] if place % 4 == 0 and path == 0 else scores.tolist()
            for path, scores in enumerate(of_question)
        }
        for place, of_question in enumerate(TABLE.scores_QPC)
    }
    write_block(tmp_path / "table", rows)
    return tmp_path / "table"


def study(tmp_path: Path, fingerprint: str) -> ScanReplayConfig:
    """The settings of a replay with the prior of a study of that model."""
    (tmp_path / "study").mkdir()
    made = made_up_study(fingerprint=fingerprint, influence=INFLUENCE)
    write_depth_result(tmp_path / "study", made)
    return replace(CONFIG, depth_prior=tmp_path / "study")


def test_questions_that_the_plain_model_has_no_answer_to_are_left_out(folder: Path) -> None:
    found = replay_table(folder, CONFIG, lambda line: None)
    answered = [place for place in range(160) if place % 4]
    gold = np.array([TABLE.questions[place].gold_index for place in answered])
    right = TABLE.scores_QPC[answered, 0].argmax(axis=1) == gold
    assert (found["num_questions"], found["num_left_out"]) == (120, 40)
    assert found["plain_accuracy"] == pytest.approx(right.mean())


def test_a_study_of_the_tables_model_is_a_prior(folder: Path, tmp_path: Path) -> None:
    config = study(tmp_path, TABLE.facts.model_fingerprint)
    assert replay_table(folder, config, lambda line: None)["prior"]["races"] == 1


def test_a_study_of_another_model_of_that_depth_is_refused_at_once(
    folder: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    with pytest.raises(
        ConfigError,
        match="is a study of model tiny with the fingerprint other, and the table is of made up "
        "with seed 0; study that model with search-cluster depth, or leave --depth-prior out",
    ):
        replay_table(folder, study(tmp_path, "other"), said.append)
    assert not said


def test_a_second_table_of_another_model_of_that_depth_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    other = made_up_table(160, num_layers=NUM_LAYERS, seed=1)
    begin_table(tmp_path / "other", other.facts)
    write_block(tmp_path / "other", {0: dict(enumerate(other.scores_QPC[0].tolist()))})
    config = replace(CONFIG, second=tmp_path / "other")
    with pytest.raises(ConfigError, match=r"fingerprint seed 0, and that in .* of one with seed 1"):
        replay_table(folder, config, lambda line: None)


def test_an_aim_that_there_is_not_is_refused_at_once(folder: Path) -> None:
    said: list[str] = []
    with pytest.raises(ConfigError, match="aim is 'speed'; it is one of accuracy, layers, front"):
        replay_table(folder, replace(CONFIG, aim="speed"), said.append)
    assert not said
