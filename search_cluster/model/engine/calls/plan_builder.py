"""Builds the plan of a call of a layer; see `call_plan`.

Shapes: N rows of the call, S segments of a group, R rows of a segment, P shared rows in front of
them, L keys, Q rows of a chain.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import torch

from search_cluster.model.engine.calls.call_plan import (
    Arrivals,
    BlockGroup,
    CallPlan,
    ChainGroup,
    DeviceSections,
    Layout,
    Sections,
    Shapes,
    Visit,
)
from search_cluster.model.engine.calls.masks import Masks
from search_cluster.model.engine.calls.segments import (
    Block,
    Unit,
    keys_of,
    packed_group,
    place_rows,
    rows_read,
)
from search_cluster.model.engine.slabs import ZERO_SLOT, Slots

MAX_GROWTH = 1.5
"""Chains whose numbers of keys differ by more than that factor are not attended to together."""


class PlanBuilder:
    """Builds the plan of one call after the other, of layers on one device.

    Args:
        layout: how rows stand in a call.
        shapes: the numbers of rows and keys of attention's calls.
        masks: the masks of blocks.
        device: where calls run.
        fill_up: gives the number of rows to which a call's rows are filled up.
        bridged_from: gives the layers from which a bridge leads to a layer.
        kept_on: gives the device that keeps the states behind a layer, or the embeddings (-1);
            ``None``: there is one device.
    """

    def __init__(
        self,
        layout: Layout,
        shapes: Shapes,
        masks: Masks,
        device: torch.device,
        fill_up: Callable[[int], int],
        bridged_from: Callable[[int], Collection[int]] = lambda layer: (),
        kept_on: Callable[[int], torch.device] | None = None,
    ) -> None:
        self._layout = layout
        self._shapes = shapes
        self._masks = masks
        self._device = device
        self._fill_up = fill_up
        self._bridged_from = bridged_from
        self._kept_on = kept_on or (lambda layer: device)

    def build(self, visits: Sequence[Visit], *, window: int | None, keep_keys: bool) -> CallPlan:
        """The plan of a call; each visit learns where its rows stand.

        Args:
            visits: the parts of the call, which have slots for their keys if these are kept or the
                layout is packed.
            window: how many positions the layer looks back; ``None`` stands for all.
            keep_keys: whether later calls look at the keys.
        """
        blocks: dict[tuple[int, int], list[Block]] = defaultdict(list)
        units: list[Unit] = []
        for visit in visits:
            self._split(visit, keep_keys, blocks, units)
        num_used = place_rows(blocks, units)
        num_rows = self._fill_up(num_used)
        on = DeviceSections()
        sections, kept_on, layer = on[self._device], self._kept_on, visits[0].node.layer
        inputs = np.full(num_rows, ZERO_SLOT, dtype=np.int64)
        positions = np.zeros(num_rows, dtype=np.int64)
        roots: list[Visit] = []
        arriving: dict[torch.device, list[tuple[Slots, Slots]]] = defaultdict(list)
        bridged_from = self._bridged_from(layer)
        crossing: dict[int, list[Slots]] = defaultdict(list)
        for visit in visits:
            positions[visit.call_rows] = visit.run.positions
            parent = visit.node.parent
            assert parent is not None, "the root runs no layer"
            if parent.layer in bridged_from:
                crossing[parent.layer].append(visit.call_rows)
            if parent is visit.node.trie.root:
                roots.append(visit)
            else:
                assert parent.state is not None, (
                    "a parent is wanted with its children, or holds their rows"
                )
                slots, device = parent.state.hidden.slots(visit.run.rows), kept_on(parent.layer)
                if device == self._device:
                    inputs[visit.call_rows] = slots
                else:
                    arriving[device].append((slots, visit.call_rows))
        read = [rows_read(visit) for visit in visits]
        writers = visits if keep_keys or self._layout is Layout.PACKED else []
        plan = CallPlan(
            sections=sections,
            on=on,
            num_rows=num_rows,
            num_used=num_used,
            input_slots=sections.add([inputs]),
            arrivals=[
                Arrivals(
                    device=device,
                    slots=on[device].add([slots for slots, _ in parts]),
                    rows=sections.add([rows for _, rows in parts]),
                )
                for device, parts in arriving.items()
            ],
            root_rows=sections.add([visit.call_rows for visit in roots]),
            root_tokens=on[kept_on(-1)].add([visit.run.tokens for visit in roots])
            if roots
            else slice(0, 0),
            bridged_rows={layer: sections.add(rows) for layer, rows in crossing.items()},
            positions=sections.add([positions]),
            num_positions=int(positions.max()) + 1,
            key_rows=sections.add([visit.call_rows for visit in writers]),
            key_slots=sections.add([visit.key_slots for visit in writers]),
            output_rows=sections.add(read),
            output_slots=on[kept_on(layer)].add([visit.output_slots for visit in visits]),
            forward_rows=self._forward_rows(np.concatenate(read), num_rows, sections),
        )
        for (num_block_rows, _), group in blocks.items():
            plan.blocks.append(self._block_group(group, num_block_rows, window, sections))
        if self._layout is Layout.PACKED:
            plan.packed = packed_group(units, window, sections)
        else:
            for units_alike in self._alike(units):
                plan.chains.append(self._chain_group(units_alike, window, sections))
        on.send()
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
        blocks: dict[tuple[int, int], list[Block]],
        units: list[Unit],
    ) -> None:
        """Make blocks and chains of a visit's rows."""
        run = visit.run
        visit.call_rows = np.empty(len(run), dtype=np.int64)
        if self._layout is Layout.PADDED and not keep_keys:
            # All rows of the example run together whenever one does, so its tree alone says where
            # a key stands.
            is_chain = len(run.chains()) == 1
            block = Block(visit, len(run), None if is_chain else run)
            blocks[self._shapes.num_rows(len(run)), visit.num_shared].append(block)
            return
        chains = run.chains()
        if self._layout is Layout.PADDED and visit.starts and chains[0].num_rows > 1:
            first, *chains = chains
            block = Block(visit, first.num_rows, None)
            blocks[self._shapes.num_rows(first.num_rows), visit.num_shared].append(block)
        for chain in chains:
            last = chain.places.stop - 1
            units.append(Unit(visit, chain, int(run.positions[last]) + 1))

    def _block_group(
        self, group: list[Block], num_rows: int, window: int | None, sections: Sections
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

    def _alike(self, units: list[Unit]) -> Iterable[list[Unit]]:
        """The chains in few groups, each with numbers of rows and keys that are near each other."""
        units = sorted(units, key=lambda unit: (unit.chain.num_rows > 1, unit.num_keys))
        group: list[Unit] = []
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

    def _chain_group(self, units: list[Unit], window: int | None, sections: Sections) -> ChainGroup:
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
            for part in keys_of(unit):
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
