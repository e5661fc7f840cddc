"""The training set of per-layer routers: prompt states along each label's path, pooled.

They are computed once.

Shapes: N examples, L layers, W windows, D model width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from router_train.data.labels import PathLabel
from router_train.data.layer_walk import walk_layers
from search_cluster.console import track
from search_cluster.errors import ConfigError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What the routers read and should decide, in the order of the labels, in main memory."""

    windows_NLWD: Tensor
    """For each layer, the windows of the states that it would read if all layers before it followed
    the label's path."""
    decisions_NL: Tensor
    """The labels: 0, 1 or 2, as int64."""


def compute_features(
    loaded: LoadedModel,
    task: Task,
    labels: Sequence[PathLabel],
    *,
    num_windows: int,
    dtype: torch.dtype,
    description: str,
) -> Features:
    """Run every labelled prompt along its label's path and keep the pooled states.

    Takes ``N * L * W * D`` numbers of ``dtype`` in main memory.

    Raises:
        ConfigError: a state does not fit into ``dtype``.
        PromptTooLongError: a prompt does not fit into the model's context.
    """
    rows: list[Tensor] = []
    for label in track(labels, description):
        windows_LWD = _windows_along(
            loaded, encode_example(loaded, task, label.example).context_ids, label, num_windows
        )
        row = windows_LWD.to(dtype=dtype, device="cpu")
        if not bool(row.isfinite().all()):
            largest = float(windows_LWD.abs().max())
            raise ConfigError(
                f"a prompt state of {largest:g} does not fit into {dtype} (example "
                f"{label.example.example_id}); keep features as float32, and check that the model "
                "gives finite states"
            )
        rows.append(row)
    decisions_NL = torch.tensor([label.decisions for label in labels], dtype=torch.int64)
    return Features(windows_NLWD=torch.stack(rows), decisions_NL=decisions_NL)


def _windows_along(
    loaded: LoadedModel, context_ids: Sequence[int], label: PathLabel, num_windows: int
) -> Tensor:
    windows: list[Tensor] = []

    def follow_label(layer: int, windows_WD: Tensor) -> int:
        windows.append(windows_WD)
        return label.decisions[layer]

    walk_layers(loaded, context_ids, num_windows, follow_label)
    return torch.stack(windows)
