"""Which rows a call of a layer runs, where they come from and go to, and which sees which.

The plan is built in numpy and sent to the device in one piece, whatever the number of nodes.
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

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search_cluster.model.engine.prefix_trie import NodeState, TrieNode
from search_cluster.model.engine.slabs import ZERO_SLOT, Slots
from search_cluster.model.engine.token_tree import Chain, RowSet

MAX_GROWTH = 1.5
"""Chains whose numbers of keys differ by more than that factor are not attended to together."""


class Layout(StrEnum):
    """How rows of unlike segments stand in a call."""

    PADDED = "padded"
    PACKED = "packed"


@dataclass(frozen=True, slots=True)
class Shapes:
    """The numbers of rows and keys of attention's calls, in which a row's sums are the same."""

    rows: int = 8
    """Numbers of rows are multiples of it."""
    keys: int = 16
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
class CallPlan:
    """What one call of a layer does; it stands in the place of the attention mask."""

    sections: Sections
    """The arrays on the device."""
    num_rows: int
    """N, filled up."""
    num_used: int
    """The rows of the call that are somebody's."""
    input_slots: slice
    """The section with the slots of the rows' inputs, ``[N]``."""
    root_rows: slice
    """The section with the rows that start at the embedding; their inputs are no states."""
    root_tokens: slice
    """The section with their tokens."""
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
    """The section with the slots that they are written to."""
    forward_rows: slice | None
    """The section with the rows that pass the feed-forward block: those whose outputs are kept,
    filled up to a number of rows like that of the call. ``None`` if all rows do."""
    blocks: list[BlockGroup] = field(default_factory=list)
    chains: list[ChainGroup] = field(default_factory=list)
    packed: PackedGroup | None = None


class Masks:
    """The additive masks of blocks, made once for each shape.

    Args:
        dtype: the type of the scores.
        device: where they are.
    """

    MAX_REMEMBERED = 512

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._known: dict[tuple[object, ...], Tensor] = {}

    def of_block(
        self, runs: Sequence[RowSet | None], shape: tuple[int, int, int], window: int | None
    ) -> Tensor:
        """The mask ``[S or 1, 1, R, L]`` of segments.

        Args:
            runs: for each segment the rows whose tree says what they see; ``None``: each row sees
                all before it.
            shape: rows, shared rows and keys, filled up.
            window: how many positions a row looks back.
        """
        if len(set(map(id, runs))) == 1:
            return self._mask(runs[0], shape, window)[None, None]
        return torch.stack([self._mask(run, shape, window) for run in runs])[:, None]

    def _mask(self, run: RowSet | None, shape: tuple[int, int, int], window: int | None) -> Tensor:
        # The rows themselves are in the key: while a mask is known nobody else gets their address.
        key = (run, shape, window)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self.MAX_REMEMBERED:
                self._known.clear()
            sees = _visible(run, shape, window)
            mask = np.where(sees, np.float32(0.0), np.float32(-np.inf))
            known = torch.from_numpy(mask).to(self._device, self._dtype)
            self._known[key] = known
        return known


def _visible(
    run: RowSet | None, shape: tuple[int, int, int], window: int | None
) -> NDArray[np.bool_]:
    num_rows, num_shared, num_keys = shape
    sees = np.zeros((num_rows, num_keys), dtype=np.bool_)
    sees[:, :num_shared] = True
    own = slice(num_shared, num_shared + (num_rows if run is None else len(run)))
    positions = np.arange(num_rows) + num_shared
    key_positions = np.arange(num_keys)
    if run is None:
        sees[:, own] = np.tri(num_rows, dtype=np.bool_)
    else:
        sees[: len(run), own] = run.sees()
        positions[: len(run)] = run.positions
        key_positions[own] = run.positions
    if window is not None:
        # By positions: rows of different branches may have the same one.
        sees &= positions[:, None] - key_positions[None, :] < window
    # Rows that fill up see something, too: a row that sees nothing is NaN.
    nothing = ~sees.any(axis=1)
    sees[nothing, 0] = True
    return sees


@dataclass(slots=True)
class _Block:
    visit: Visit
    num_real: int
    """The first rows of the visit stand in the block, so many."""
    run: RowSet | None
    """Whose tree says what they see; ``None``: each sees all before it."""
    first_row: int = 0


@dataclass(slots=True)
class _Unit:
    visit: Visit
    chain: Chain
    num_keys: int
    """The keys that its last row sees."""
    first_row: int = 0


class PlanBuilder:
    """Builds the plan of one call after the other.

    Args:
        layout: how rows stand in a call.
        shapes: the numbers of rows and keys of attention's calls.
        masks: the masks of blocks.
        device: where calls run.
        fill_up: gives the number of rows to which a call's rows are filled up.
    """

    def __init__(
        self,
        layout: Layout,
        shapes: Shapes,
        masks: Masks,
        device: torch.device,
        fill_up: Callable[[int], int],
    ) -> None:
        self._layout = layout
        self._shapes = shapes
        self._masks = masks
        self._device = device
        self._fill_up = fill_up

    def build(self, visits: Sequence[Visit], *, window: int | None, keep_keys: bool) -> CallPlan:
        """The plan of a call; each visit learns where its rows stand.

        Args:
            visits: the parts of the call, which have slots for their keys if these are kept or the
                layout is packed.
            window: how many positions the layer looks back; ``None`` stands for all.
            keep_keys: whether later calls look at the keys.
        """
        blocks: dict[tuple[int, int], list[_Block]] = defaultdict(list)
        units: list[_Unit] = []
        for visit in visits:
            self._split(visit, keep_keys, blocks, units)
        num_used = _place(blocks, units)
        num_rows = self._fill_up(num_used)
        sections = Sections()
        inputs = np.full(num_rows, ZERO_SLOT, dtype=np.int64)
        positions = np.zeros(num_rows, dtype=np.int64)
        roots: list[Visit] = []
        for visit in visits:
            positions[visit.call_rows] = visit.run.positions
            parent = visit.node.parent
            assert parent is not None, "the root runs no layer"
            if parent is visit.node.trie.root:
                roots.append(visit)
            else:
                assert parent.state is not None, (
                    "a parent is wanted with its children, or holds their rows"
                )
                inputs[visit.call_rows] = parent.state.hidden.slots(visit.run.rows)
        rows_read = [_rows_read(visit) for visit in visits]
        writers = visits if keep_keys or self._layout is Layout.PACKED else []
        plan = CallPlan(
            sections=sections,
            num_rows=num_rows,
            num_used=num_used,
            input_slots=sections.add([inputs]),
            root_rows=sections.add([visit.call_rows for visit in roots]),
            root_tokens=sections.add([visit.run.tokens for visit in roots]),
            positions=sections.add([positions]),
            num_positions=int(positions.max()) + 1,
            key_rows=sections.add([visit.call_rows for visit in writers]),
            key_slots=sections.add([visit.key_slots for visit in writers]),
            output_rows=sections.add(rows_read),
            output_slots=sections.add([visit.output_slots for visit in visits]),
            forward_rows=self._forward_rows(np.concatenate(rows_read), num_rows, sections),
        )
        for (num_block_rows, _), group in blocks.items():
            plan.blocks.append(self._block_group(group, num_block_rows, window, sections))
        if self._layout is Layout.PACKED:
            plan.packed = _packed_group(units, window, sections)
        else:
            for units_alike in self._alike(units):
                plan.chains.append(self._chain_group(units_alike, window, sections))
        sections.send(self._device)
        return plan

    def _forward_rows(self, read: Slots, num_rows: int, sections: Sections) -> slice | None:
        filled = self._fill_up(len(read))
        if filled >= num_rows:
            return None
        # A row that nobody reads fills up, so that no two outputs are written to a row that counts.
        unread = np.ones(num_rows, dtype=np.bool_)
        unread[read] = False
        filler = np.full(filled - len(read), int(unread.argmax()), dtype=np.int64)
        return sections.add([read, filler])

    def _split(
        self,
        visit: Visit,
        keep_keys: bool,
        blocks: dict[tuple[int, int], list[_Block]],
        units: list[_Unit],
    ) -> None:
        """Make blocks and chains of a visit's rows."""
        run = visit.run
        visit.call_rows = np.empty(len(run), dtype=np.int64)
        if self._layout is Layout.PADDED and not keep_keys:
            # All rows of the example run together whenever one does, so its tree alone says where
            # a key stands.
            is_chain = len(run.chains()) == 1
            block = _Block(visit, len(run), None if is_chain else run)
            blocks[self._shapes.num_rows(len(run)), visit.num_shared].append(block)
            return
        chains = run.chains()
        if self._layout is Layout.PADDED and visit.starts and chains[0].num_rows > 1:
            first, *chains = chains
            block = _Block(visit, first.num_rows, None)
            blocks[self._shapes.num_rows(first.num_rows), visit.num_shared].append(block)
        for chain in chains:
            last = chain.places.stop - 1
            units.append(_Unit(visit, chain, int(run.positions[last]) + 1))

    def _block_group(
        self, group: list[_Block], num_rows: int, window: int | None, sections: Sections
    ) -> BlockGroup:
        num_shared = group[0].visit.num_shared
        num_keys = self._shapes.num_keys(num_shared + num_rows)
        shape = (num_rows, num_shared, num_keys)
        shared = [
            block.visit.shared.keys.slots_from(0, num_shared)
            for block in group
            if block.visit.shared is not None
        ]
        sizes = np.array([block.num_real for block in group])
        firsts = np.array([block.first_row for block in group])
        # Where there is no row of a segment's own, its first one fills up.
        index = np.arange(max(num_rows, num_keys - num_shared))
        own = firsts[:, None] + np.where(index < sizes[:, None], index, 0)
        is_real = index[:num_rows] < sizes[:, None]
        return BlockGroup(
            first_row=int(firsts[0]),
            end_row=int(firsts[-1] + sizes[-1]),
            num_segments=len(group),
            num_rows=num_rows,
            num_shared=num_shared,
            num_keys=num_keys,
            is_full=bool(is_real.all()),
            rows=sections.add([own[:, :num_rows].ravel()]),
            places=sections.add([np.flatnonzero(is_real)]),
            own_keys=sections.add([own[:, : num_keys - num_shared].ravel()]),
            shared_slots=sections.add(shared if num_shared else []),
            mask_S1RL=self._masks.of_block([block.run for block in group], shape, window),
        )

    def _alike(self, units: list[_Unit]) -> Iterable[list[_Unit]]:
        """The chains in few groups, each with numbers of rows and keys that are near each other."""
        units = sorted(units, key=lambda unit: (unit.chain.num_rows > 1, unit.num_keys))
        group: list[_Unit] = []
        for unit in units:
            if group and (
                (unit.chain.num_rows > 1) != (group[0].chain.num_rows > 1)
                or unit.num_keys > MAX_GROWTH * group[0].num_keys
            ):
                yield group
                group = []
            group.append(unit)
        if group:
            yield group

    def _chain_group(
        self, units: list[_Unit], window: int | None, sections: Sections
    ) -> ChainGroup:
        num_rows = max(unit.chain.num_rows for unit in units)
        num_keys = self._shapes.num_keys(max(unit.num_keys for unit in units))
        rows = np.empty((len(units), num_rows), dtype=np.int64)
        last_keys = np.empty((len(units), num_rows), dtype=np.int64)
        key_slots = np.full((len(units), num_keys), ZERO_SLOT, dtype=np.int64)
        for number, unit in enumerate(units):
            # Rows that fill up are the first one again: whoever writes its output writes the same.
            size = unit.chain.num_rows
            rows[number] = unit.first_row
            last_keys[number] = unit.num_keys - size
            if size > 1:
                rows[number, :size] += np.arange(size)
                last_keys[number, :size] += np.arange(size)
            first = 0
            for part in _keys_of(unit):
                key_slots[number, first : first + len(part)] = part
                first += len(part)
        return ChainGroup(
            num_chains=len(units),
            num_rows=num_rows,
            num_keys=num_keys,
            rows=sections.add([rows.ravel()]),
            last_keys=sections.add([last_keys.ravel()]),
            key_slots=sections.add([key_slots.ravel()]),
            window=window,
        )


def _place(blocks: dict[tuple[int, int], list[_Block]], units: list[_Unit]) -> int:
    """Give each row its place in the call: blocks first, then chains. Returns their number."""
    first = 0
    for group in blocks.values():
        for block in group:
            block.first_row = first
            block.visit.call_rows[: block.num_real] = np.arange(first, first + block.num_real)
            first += block.num_real
    for unit in units:
        unit.first_row, size = first, unit.chain.num_rows
        unit.visit.call_rows[unit.chain.places] = np.arange(first, first + size)
        first += size
    return first


def _rows_read(visit: Visit) -> Slots:
    return visit.call_rows if visit.read is None else visit.call_rows[visit.read]


def _keys_of(unit: _Unit) -> list[Slots]:
    """The slots of all keys that a chain's last row sees, in the order of positions."""
    visit, chain, held = unit.visit, unit.chain, unit.visit.state.keys
    parts = []
    if visit.num_shared:
        assert visit.shared is not None, "shared rows run before the rows that look at them"
        parts.append(visit.shared.keys.slots_from(0, visit.num_shared))
    end_of_context = min(chain.first, visit.run.tree.num_context)
    parts.append(held.slots_from(visit.num_shared, end_of_context))
    if len(chain.past):
        parts.append(held.slots(chain.past))
    parts.append(held.slots(visit.run.rows[chain.places]))
    return parts


def _packed_group(units: list[_Unit], window: int | None, sections: Sections) -> PackedGroup:
    keys = [np.concatenate(_keys_of(unit)) for unit in units]
    sizes = [unit.chain.num_rows for unit in units]
    return PackedGroup(
        first_rows=sections.add([np.cumsum([0, *sizes])]),
        first_keys=sections.add([np.cumsum([0, *map(len, keys)])]),
        key_slots=sections.add(keys),
        max_rows=max(sizes),
        max_keys=max(map(len, keys)),
        window=window,
    )


def _up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple
