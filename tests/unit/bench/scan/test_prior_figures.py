"""What a prior of layers saves in replayed races, on tables where its worth is known."""

import pytest
from support import made_up_tables
from support.made_up_tables import made_up_table

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.prior_figures import prior_figures
from search_cluster.bench.scan.score_table import ScoreTable
from search_cluster.errors import ConfigError
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.racing.layer_prior import LayerPrior

NUM_LAYERS = 8
HELPFUL = path_of_edits([Edit(1, 2, 0)], NUM_LAYERS)
EVEN = LayerPrior(influence=(0.05,) * NUM_LAYERS)
CONFIG = ScanReplayConfig(num_train=96, num_validation=100, num_test=100, races=3)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ScoreTable:
    """Each layer that an edit touches costs much, so that layers tell what edits lose."""
    monkeypatch.setattr(made_up_tables, "HARM", 0.3)
    return made_up_table(400, num_layers=NUM_LAYERS, helps={HELPFUL: 0.8})


def test_a_true_prior_saves_verdicts_and_costs_nothing(table: ScoreTable) -> None:
    found = prior_figures(table, CONFIG, EVEN)
    assert found["same_choice"] == found["races"] == 3
    assert found["fresh_gain_difference_by_seed"] == [0.0, 0.0, 0.0]
    assert min(found["saved_share_by_seed"]) > 0.05
    assert found["verdicts_with_prior"] < found["verdicts"]
    assert found["digest"] == EVEN.digest


def test_a_prior_of_another_depth_is_refused(table: ScoreTable) -> None:
    with pytest.raises(ConfigError, match=r"the depth prior has 3 layers, and the model .* has 8"):
        prior_figures(table, CONFIG, LayerPrior(influence=(0.1, 0.2, 0.3)))
