import dataclasses

import numpy as np
import pytest

from router_train.config import FitConfig
from router_train.data.operating_point import OperatingPoint, choose_point


def point(accuracy: float, mean_layers: float, threshold: float = 0.5) -> OperatingPoint:
    return OperatingPoint(
        threshold=threshold,
        accuracy=accuracy,
        accuracy_plain=0.5,
        standard_error=0.0,
        mean_layers=mean_layers,
    )


POINTS = (
    point(0.50, 10.0),
    point(0.48, 6.0),
    point(0.495, 7.0),
    point(0.53, 9.0),
    point(0.53, 8.0),
    point(0.6, 11.0),
)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (FitConfig(max_drop=0.5), 2),
        (FitConfig(max_drop=0.4), 4),
        (FitConfig(max_drop=2.0), 1),
        (FitConfig(max_drop=-4.0), None),
        (FitConfig(max_drop=-4.0, max_layers_share=1.1), 5),
        (FitConfig(aim="accuracy"), 4),
        (FitConfig(aim="accuracy", max_layers_share=0.75), 2),
        (FitConfig(aim="accuracy", max_layers_share=0.5), None),
    ],
)
def test_floor_and_budget_hold(config: FitConfig, place: int | None) -> None:
    assert choose_point(POINTS, 10, config) == place


def test_of_equals_the_higher_threshold_wins() -> None:
    equals = [point(0.5, 8.0, threshold) for threshold in (0.3, 0.7, 0.5)]
    assert choose_point(equals, 10, FitConfig()) == 1
    assert choose_point(equals, 10, FitConfig(aim="accuracy")) == 1


def test_the_floor_is_cleared_by_standard_errors() -> None:
    unsure = [point(0.5, 10.0), dataclasses.replace(point(0.51, 7.0), standard_error=0.02)]
    assert choose_point(unsure, 10, FitConfig(max_drop=0.5)) == 0
    assert choose_point(unsure, 10, FitConfig(max_drop=1.0)) == 1
    assert choose_point(unsure, 10, FitConfig(max_drop=0.5, floor_errors=0.0)) == 1


def test_a_point_by_hand() -> None:
    right, plain = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 0, 1], dtype=bool)
    found = OperatingPoint.of(right, plain, np.array([3, 4, 5, 6]), 0.5)
    assert (found.accuracy, found.accuracy_plain, found.mean_layers) == (0.5, 0.5, 4.5)
    assert found.standard_error == pytest.approx((0.5 / 4) ** 0.5)
