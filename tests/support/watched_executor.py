"""An engine that keeps the logits it reads."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from search_cluster.model.engine import executor as executor_module
from search_cluster.model.engine.answers import RowReading
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.reading import read_logits
from search_cluster.paths.layer_path import LayerPath

Logits = dict[tuple[str, LayerPath, tuple[int, tuple[int, ...]]], Tensor]
"""By example, path and place: the context's row (the last one, behind it), and the tokens behind
the context. Rows of a tree are numbered as they come, so a number says nothing."""


class WatchedExecutor(PathExecutor):
    """Keeps the logits that it reads."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.logits: Logits = {}

    def _read(self, jobs: Sequence[Any]) -> Any:
        seen: list[Tensor] = []

        def keeping(logits_RV: Tensor, asked: Sequence[Sequence[int]]) -> list[RowReading]:
            seen.extend(logits_RV[: len(asked)].clone())
            return read_logits(logits_RV, asked)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(executor_module, "read_logits", keeping)
            readings = super()._read(jobs)
        asked = [(job, row) for job in jobs for row in job.asked]
        for (job, row), logits_V in zip(asked, seen, strict=True):
            tree = job.known.trie.token_tree
            tokens = tuple(tree.tokens[past] for past in tree.branch(row))
            place = (min(row, tree.last_context_row), tokens)
            key = (job.example.example_id, job.path, place)
            known = self.logits.setdefault(key, logits_V)
            assert torch.equal(known, logits_V), "the same row was read twice and differed"
        return readings
