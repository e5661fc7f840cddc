"""The one path of a menu that is best for all questions: what a learned router has to beat."""

import numpy as np

from router_train.config import FitConfig
from router_train.data.operating_point import OperatingPoint, choose_point
from router_train.data.path_table import VerdictTable
from search_cluster.paths.layer_path import LayerPath


def choose_static(table: VerdictTable, config: FitConfig) -> tuple[LayerPath, OperatingPoint]:
    """The path that meets aim, floor and budget on the whole table, and its point.

    It is identity if no path does.

    Nothing is fitted to a question, so every question of the table validates.
    """
    points = single_path_points(table)
    place = choose_point(points, table.paths[0].num_layers, config) or 0
    return table.paths[place], points[place]


def single_path_points(table: VerdictTable) -> tuple[OperatingPoint, ...]:
    """The point of each path of the menu if every question takes it, in the menu's order."""
    plain_right_N = table.right_NK[:, 0]
    return tuple(
        OperatingPoint.of(
            table.right_NK[:, place], plain_right_N, np.full(len(plain_right_N), len(path)), 0.0
        )
        for place, path in enumerate(table.paths)
    )
