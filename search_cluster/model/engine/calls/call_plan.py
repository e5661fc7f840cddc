"""Which rows a call of a layer runs, where they come from and go to, and which sees which.

It is built in numpy (`plan_builder`) and sent to the device in one piece, whatever the number of
nodes.

In one layout (`Layout.PADDED`) attention is computed for groups of segments that are filled up to
a common number of rows and keys: segments that start from nothing look at keys of the call itself,
rows that follow others at keys that are gathered for them. In the other (`Layout.PACKED`), for
kernels that know sequences of unlike lengths, nothing is filled up and all keys are gathered.

A row's keys stand in the order of positions in either, each at the index of its position (or of its
place in the example's tree, where keys are not kept and all rows run together), so the sums of
attention do not depend on what else runs.

Shapes: N rows of the call, S segments of a group, R rows of a segment, P shared rows in front of
them, L keys, Q queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from search_cluster.model.engine.prefix_trie import NodeState, TrieNode
from search_cluster.model.engine.slabs import Slab, Slots
from search_cluster.model.engine.token_tree import RowSet


class Layout(StrEnum):
    """How rows of unlike segments stand in a call."""

    PADDED = "padded"
    PACKED = "packed"


@dataclass(frozen=True, slots=True)
class Shapes:
    """The numbers of rows and keys of attention's calls, in which a row's sums are the same."""

    rows: int
    """Numbers of rows are multiples of it."""
    keys: int
    """Numbers of keys are multiples of it."""
    key_block: int = 1
    """So many keys are summed up together."""
    key_part: int = 1
    """The last block has at most so many keys, or is whole."""
    tile_rows: int = 128
    """So many rows of a segment are attended to together, on a CPU."""

    def num_rows(self, count: int) -> int:
        """The number of rows to which ``count`` rows are filled up."""
        return _up(count, self.rows)

    def num_keys(self, count: int) -> int:
        """The number of keys to which ``count`` keys are filled up."""
        count = _up(count, self.keys)
        return _up(count, self.key_block) if count % self.key_block > self.key_part else count


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """One node's part of a call."""

    node: TrieNode
    state: NodeState
    """The state that takes what is computed; it becomes the node's afterwards."""
    run: RowSet
    """The rows that run."""
    read: Slots | None
    """The places in ``run`` of the rows whose outputs matter; ``None`` if all do."""
    shared: NodeState | None
    """The state whose keys stand in front of the node's own."""
    num_shared: int
    starts: bool
    """Whether the node had no keys before."""
    key_slots: Slots
    """Where the keys of the rows go, which the state knows already; empty if they go nowhere."""
    output_slots: Slots
    """Where the outputs that matter go, which the state knows already."""
    call_rows: Slots = field(init=False)
    """Where the rows stand in the call, once it is planned."""


@dataclass(slots=True, kw_only=True)
class BlockGroup:
    """Segments of about the same size that start from nothing, side by side in the call."""

    first_row: int
    end_row: int
    num_segments: int
    num_rows: int
    """R, filled up."""
    num_shared: int
    """P."""
    num_keys: int
    """L, filled up."""
    is_full: bool
    """Whether no segment has to be filled up."""
    rows: slice
    """The section with the rows' places in the call, ``[S * R]``."""
    places: slice
    """The section with the real rows' places among the filled up ones."""
    own_keys: slice
    """The section with the places in the call of the keys that are the segments' own,
    ``[S * (L - P)]``."""
    shared_slots: slice
    """The section with the slots of the shared rows' keys, ``[S * P]``."""
    mask_S1RL: Tensor
    """Additive; the first dimension is 1 if all segments have the same one."""


@dataclass(slots=True, kw_only=True)
class ChainGroup:
    """Chains of rows that follow rows which are held, with gathered keys."""

    num_chains: int
    num_rows: int
    """Q, filled up with the first row of each chain."""
    num_keys: int
    """L, filled up."""
    rows: slice
    """The section with the rows' places in the call, ``[S * Q]``."""
    last_keys: slice
    """The section with the index of the last key that each row sees, ``[S * Q]``."""
    key_slots: slice
    """The section with the slots of the keys, ``[S * L]``."""
    window: int | None


@dataclass(slots=True, kw_only=True)
class PackedGroup:
    """All chains of a call behind each other, for a kernel that knows where each begins."""

    first_rows: slice
    """The section with where each chain's rows begin, and the end, ``[S + 1]``."""
    first_keys: slice
    """The section with where each chain's keys begin, and the end, ``[S + 1]``."""
    key_slots: slice
    max_rows: int
    max_keys: int
    window: int | None


class Sections:
    """Arrays of whole numbers that travel to the device as one."""

    def __init__(self) -> None:
        self._parts: list[Slots] = []
        self._size = 0
        self._sent: Tensor | None = None

    def add(self, parts: Sequence[Slots]) -> slice:
        """The section of some arrays, which stand behind each other."""
        first = self._size
        self._parts.extend(parts)
        self._size += sum(map(len, parts))
        return slice(first, self._size)

    def send(self, device: torch.device) -> None:
        """Copy all to the device, which it does on its own while the program goes on."""
        whole = torch.from_numpy(np.concatenate(self._parts))
        if device.type == "cuda":
            whole = whole.pin_memory()
        self._sent = whole.to(device, non_blocking=True)

    def __getitem__(self, section: slice) -> Tensor:
        assert self._sent is not None, "nothing was sent yet"
        return self._sent[section]


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """Rows of a call whose inputs are kept on another device."""

    device: torch.device
    slots: slice
    """The section, on that device, with the slots of the inputs."""
    rows: slice
    """The section with the rows."""


class DeviceSections(dict[torch.device, Sections]):
    """The sections on each device that a call has to do with."""

    def __missing__(self, device: torch.device) -> Sections:
        sections = self[device] = Sections()
        return sections

    def send(self) -> None:
        """Copy each device's sections to it."""
        for device, sections in self.items():
            sections.send(device)


@dataclass(slots=True, kw_only=True)
class CallPlan:
    """What one call of a layer does; it stands in the place of the attention mask."""

    sections: Sections
    """The arrays on the layer's device."""
    on: DeviceSections
    """Those on all devices, this one included."""
    num_rows: int
    """N, filled up."""
    num_used: int
    """The rows of the call that are somebody's."""
    input_slots: slice
    """The section with the slots of the rows' inputs, ``[N]``; zeros' for those that arrive."""
    arrivals: list[Arrivals]
    """The rows whose inputs come from other devices."""
    root_rows: slice
    """The section with the rows that start at the embedding; their inputs are no states."""
    root_tokens: slice
    """The section with their tokens, on the device of the embeddings."""
    bridged_rows: dict[int, slice]
    """For each layer from which a bridge leads here (-1: the embedding) the section with the rows
    that cross it."""
    positions: slice
    """The section with the rows' positions, ``[N]``."""
    num_positions: int
    """One more than the largest of them."""
    key_rows: slice
    """The section with the rows whose keys and values are written."""
    key_slots: slice
    """The section with the slots that they are written to."""
    output_rows: slice
    """The section with the rows whose outputs are kept, in the order of the visits."""
    output_slots: slice
    """The section with the slots that they are written to, on the device that keeps them."""
    forward_rows: slice | None
    """The section with the rows that pass the feed-forward block: those whose outputs are kept,
    filled up to a number of rows like that of the call. ``None`` if all rows do."""
    blocks: list[BlockGroup] = field(default_factory=list)
    chains: list[ChainGroup] = field(default_factory=list)
    packed: PackedGroup | None = None


@dataclass(slots=True)
class Call:
    """What the kernel needs of a call."""

    plan: CallPlan
    held: Slab
    """Keys and values of earlier calls, to which this one adds its own."""
    shapes: Shapes


def _up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple
