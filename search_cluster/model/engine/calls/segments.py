"""The parts of visits that attention looks at: segments that start from nothing, and chains.

Shapes: R rows of a segment, L keys.
"""

from dataclasses import dataclass

import numpy as np

from search_cluster.model.engine.calls.call_plan import PackedGroup, Sections, Visit
from search_cluster.model.engine.slabs import Slots
from search_cluster.model.engine.token_tree import Chain, RowSet


@dataclass(slots=True)
class Block:
    """Rows of a visit that start from nothing."""

    visit: Visit
    num_real: int
    """The first rows of the visit stand in the block, so many."""
    run: RowSet | None
    """Whose tree says what they see; ``None``: each sees all before it."""
    first_row: int = 0


@dataclass(slots=True)
class Unit:
    """Rows of a visit that follow others whose keys are held."""

    visit: Visit
    chain: Chain
    num_keys: int
    """The keys that its last row sees."""
    first_row: int = 0


def place_rows(blocks: dict[tuple[int, int], list[Block]], units: list[Unit]) -> int:
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


def rows_read(visit: Visit) -> Slots:
    """The rows of the call whose outputs are kept."""
    return visit.call_rows if visit.read is None else visit.call_rows[visit.read]


def keys_of(unit: Unit) -> list[Slots]:
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


def packed_group(units: list[Unit], window: int | None, sections: Sections) -> PackedGroup:
    """All chains of a call behind each other."""
    keys = [np.concatenate(keys_of(unit)) for unit in units]
    sizes = [unit.chain.num_rows for unit in units]
    return PackedGroup(
        first_rows=sections.add([np.cumsum([0, *sizes])]),
        first_keys=sections.add([np.cumsum([0, *map(len, keys)])]),
        key_slots=sections.add(keys),
        max_rows=max(sizes),
        max_keys=max(map(len, keys)),
        window=window,
    )
