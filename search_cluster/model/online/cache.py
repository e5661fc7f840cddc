"""The KV cache of a batch whose rows take different layer paths.

A batch runs *steps*: one layer, for the rows whose path has it next. Each step owns one cache slot
that holds keys and values of its rows only, so every row has one slot per position of its path and
none for what it skips.
"""

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from search_cluster.errors import ModelError
from search_cluster.model.online.chooser import ChosenPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One application of a layer to some rows of a batch."""

    layer: int
    rows: tuple[int, ...]
    """The rows that take the step, ascending."""


class OnlineCache(Cache):
    """Keys and values per step; the steps are decided once, in the pass over the prompt.

    Attributes:
        steps: in execution order; step ``i`` owns ``layers[i]``. A row's steps, in order, are its
            path.
        choices: what the routing of each row returned; empty until the prompt has run.
        discarded_layer_tokens: for each row the number of (layer, token) applications that ran
            before the choice and are not part of it.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.steps: list[Step] = []
        self.choices: tuple[ChosenPath, ...] = ()
        self.discarded_layer_tokens: tuple[int, ...] = ()
        self._writing = 0

    @property
    def _slots(self) -> list[DynamicLayer]:
        return cast(list[DynamicLayer], self.layers)

    def without_keys(self) -> "OnlineCache":
        """An empty cache for the same rows on the same paths."""
        empty = OnlineCache()
        empty.choices = self.choices
        return empty

    def open_step(self, step: Step, slot: DynamicLayer) -> None:
        """Appends a step with a slot like ``slot``, which is empty; `update` writes there next."""
        self.steps.append(step)
        self.layers.append(copy.deepcopy(slot))
        self._writing = len(self.steps) - 1

    def enter_step(self, index: int) -> Step:
        """Lets `update` write to the slot of an existing step."""
        self._writing = index
        return self.steps[index]

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        """Appends keys and values to the slot of the step at hand, whichever layer asks."""
        return self._slots[self._writing].update(key_states, value_states, *args, **kwargs)

    def drop_rows(self, rows: Collection[int]) -> None:
        """Forgets what rows have run, so that they can start again."""
        kept: list[tuple[Step, DynamicLayer]] = []
        for step, slot in zip(self.steps, self._slots, strict=True):
            places = [place for place, row in enumerate(step.rows) if row not in rows]
            if not places:
                continue
            if len(places) < len(step.rows):
                if slot.is_initialized:
                    slot.batch_select_indices(torch.tensor(places, device=slot.device))
                step = Step(layer=step.layer, rows=tuple(step.rows[place] for place in places))
            kept.append((step, slot))
        self.steps = [step for step, _ in kept]
        self._slots[:] = [slot for _, slot in kept]

    def slot_like(self, *, sliding: bool) -> int:
        """The index of a slot with, or without, a sliding window.

        All slots of a kind have the same length.
        """
        return self.is_sliding.index(sliding)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row ``i`` goes on from what row ``beam_idx[i]`` has, which must have the same path.

        Raises:
            ModelError: the other row has another path.
        """
        sources = beam_idx.tolist()
        for row, source in enumerate(sources):
            if self.choices[row].path != self.choices[source].path:
                raise ModelError(
                    f"row {row} on path {self.choices[row].path} can't go on from row {source} on "
                    f"path {self.choices[source].path}; rows are only exchanged between beams of "
                    "one prompt"
                )
        for step, slot in zip(self.steps, self._slots, strict=True):
            places = [step.rows.index(sources[row]) for row in step.rows]
            slot.batch_select_indices(torch.tensor(places, device=slot.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Not supported: repeat the rows of the prompt instead."""
        raise ModelError(
            f"a cache of different paths can't repeat its rows {repeats} times; repeat the prompts "
            "instead"
        )

    def batch_select_indices(self, indices: Tensor) -> None:
        """Not supported: leave rows out of the prompt instead."""
        raise ModelError(
            f"a cache of different paths can't select rows {indices.tolist()}; select prompts "
            "instead"
        )
