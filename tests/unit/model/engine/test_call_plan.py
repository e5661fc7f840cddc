"""Plans of calls: each row looks at its ancestors in the order of positions, in either layout."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_cluster.model.engine.calls.call_plan import (
    BlockGroup,
    CallPlan,
    ChainGroup,
    Layout,
    PackedGroup,
    Shapes,
    Visit,
)
from search_cluster.model.engine.calls.masks import Masks
from search_cluster.model.engine.calls.plan_builder import PlanBuilder
from search_cluster.model.engine.prefix_trie import NodeState, PrefixTrie
from search_cluster.model.engine.slabs import ZERO_SLOT, Slots
from search_cluster.model.engine.token_tree import RowSet, TokenTree

CPU = torch.device("cpu")
SHAPES = Shapes(rows=4, keys=8)
CALL_ROWS = 8

Seen = dict[int, list[tuple[int, int]]]
"""For each row of a call the keys that it looks at, in order: their index and their slot."""


@dataclass
class Numbers:
    """Slots that nobody else has."""

    used: int = ZERO_SLOT

    def take(self, count: int) -> Slots:
        self.used += count
        # Not in order, as after evictions.
        return np.arange(self.used - count + 1, self.used + 1)[::-1].copy()


@st.composite
def trees(draw: st.DrawFn) -> tuple[TokenTree, list[int]]:
    """A tree with branches, and its rows without some that nobody needs."""
    tree = TokenTree(range(draw(st.integers(1, 7))))
    for token in range(draw(st.integers(0, 8))):
        tree.add(draw(st.integers(tree.last_context_row, len(tree.tokens) - 1)), 100 + token)
    rows = list(range(tree.num_context))
    for row in range(tree.num_context, len(tree.tokens)):
        if draw(st.integers(0, 3)) and {*tree.branch(row)[:-1]} <= {*rows}:
            rows.append(row)
    return tree, rows


@st.composite
def calls(draw: st.DrawFn, *, keep_keys: bool) -> list[Visit]:
    """Visits of a few examples, behind shared rows or not, some with rows that are held."""
    numbers, visits = Numbers(), []
    num_shared = draw(st.integers(0, 3))
    shared = state_of(TokenTree(range(num_shared)), range(num_shared), numbers)
    for _ in range(draw(st.integers(1, 4))):
        tree, rows = draw(trees())
        behind = min(num_shared, tree.num_context - 1)
        behind = behind if behind == num_shared else 0
        own = rows[behind:]
        # Rows are held from the front, so ancestors are; then they are kept.
        num_held = draw(st.integers(0, len(own) - 1)) if keep_keys else 0
        state = state_of(tree, own[:num_held], numbers)
        run = tree.row_set(own[num_held:])
        key_slots, output_slots = numbers.take(len(run)), numbers.take(len(run))
        state.keys.add(run, run.rows, key_slots)
        state.hidden.add(run, run.rows, output_slots)
        read = None
        if draw(st.booleans()):
            read = np.array(sorted(draw(st.sets(st.integers(0, len(run) - 1), min_size=1))))
        visits.append(
            Visit(
                node=PrefixTrie(tree).nodes_of([0])[0],
                state=state,
                run=run,
                read=read,
                shared=shared if behind else None,
                num_shared=behind,
                starts=not num_held,
                key_slots=key_slots,
                output_slots=output_slots if read is None else output_slots[read],
            )
        )
    return visits


def state_of(tree: TokenTree, rows: range | list[int], numbers: Numbers) -> NodeState:
    state = NodeState()
    if len(rows):
        held = tree.row_set(rows)
        state.keys.add(held, held.rows, numbers.take(len(rows)))
        state.hidden.add(held, held.rows, numbers.take(len(rows)))
    return state


def planned(
    visits: list[Visit], layout: Layout, *, window: int | None, keep_keys: bool
) -> CallPlan:
    builder = PlanBuilder(
        layout, SHAPES, Masks(torch.float32, CPU), CPU, lambda count: -(-count // CALL_ROWS) * 8
    )
    return builder.build(visits, window=window, keep_keys=keep_keys)


def section(plan: CallPlan, part: slice) -> list[int]:
    return [int(number) for number in plan.sections[part]]


def seen_in(plan: CallPlan, visits: list[Visit]) -> Seen:
    """What each row looks at, read off the plan as the kernels read it."""
    key_slot = {
        int(row): int(slot)
        for visit in visits
        for row, slot in zip(visit.call_rows, visit.key_slots, strict=True)
    }
    seen: Seen = {}
    for block in plan.blocks:
        seen |= dict(seen_in_block(plan, block, key_slot))
    for chains in plan.chains:
        seen |= dict(seen_in_chains(plan, chains))
    if plan.packed is not None:
        seen |= dict(seen_in_packed(plan, plan.packed))
    return seen


def seen_in_block(
    plan: CallPlan, block: BlockGroup, key_slot: dict[int, int]
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    shape = (block.num_segments, -1)
    own = np.array(section(plan, block.own_keys)).reshape(shape)
    shared = np.array(section(plan, block.shared_slots)).reshape(block.num_segments, -1)
    rows = np.array(section(plan, block.rows)).reshape(shape)
    mask = block.mask_S1RL.expand(block.num_segments, -1, -1, -1)[:, 0] == 0
    assert mask.shape == (block.num_segments, block.num_rows, block.num_keys)
    places = section(plan, block.places)
    assert rows.ravel()[places].tolist() == list(range(block.first_row, block.end_row))
    for place in places:
        segment, row = divmod(place, block.num_rows)
        keys = [*shared[segment].tolist(), *(key_slot[int(key)] for key in own[segment])]
        visible = np.flatnonzero(mask[segment, row].numpy())
        yield int(rows[segment, row]), [(int(index), keys[index]) for index in visible]


def seen_in_chains(
    plan: CallPlan, chains: ChainGroup
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    keys = np.array(section(plan, chains.key_slots)).reshape(chains.num_chains, chains.num_keys)
    rows, last_keys = section(plan, chains.rows), section(plan, chains.last_keys)
    for number, (row, last) in enumerate(zip(rows, last_keys, strict=True)):
        first = 0 if chains.window is None else max(0, last - chains.window + 1)
        of_chain = keys[number // chains.num_rows]
        yield row, [(index, int(of_chain[index])) for index in range(first, last + 1)]


def seen_in_packed(
    plan: CallPlan, packed: PackedGroup
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    rows, keys = section(plan, packed.first_rows), section(plan, packed.first_keys)
    slots = section(plan, packed.key_slots)
    for number in range(len(rows) - 1):
        num_rows, num_keys = rows[number + 1] - rows[number], keys[number + 1] - keys[number]
        assert num_rows <= packed.max_rows
        assert num_keys <= packed.max_keys
        for place in range(num_rows):
            last = num_keys - num_rows + place
            first = 0 if packed.window is None else max(0, last - packed.window + 1)
            visible = range(first, last + 1)
            yield rows[number] + place, [(index, slots[keys[number] + index]) for index in visible]


def ancestors(visit: Visit, row: int, window: int | None) -> list[int]:
    """The slots of the keys of all rows that a row sees, itself included, nearest last."""
    tree, run = visit.run.tree, visit.run
    rows = [*range(min(row + 1, tree.num_context)), *tree.branch(row)]
    slots = []
    for one in rows if window is None else rows[-window:]:
        held = visit.shared if one < visit.num_shared else visit.state
        assert held is not None
        slots.append(int(held.keys.slots(np.array([one]))[0]))
    assert run.tree.positions[row] + 1 == len(rows)
    return slots


def assert_all_see_their_ancestors(
    plan: CallPlan, visits: list[Visit], window: int | None, *, by_position: bool
) -> None:
    seen = seen_in(plan, visits)
    rows = [int(row) for visit in visits for row in visit.call_rows]
    assert sorted(rows) == list(range(plan.num_used))
    for visit in visits:
        for place, row in zip(visit.call_rows, visit.run.key, strict=True):
            expected = ancestors(visit, row, window)
            assert [slot for _, slot in seen[int(place)]] == expected
            if by_position:
                last = visit.run.tree.positions[row]
                indexes = [index for index, _ in seen[int(place)]]
                assert indexes == list(range(last + 1 - len(expected), last + 1))


def assert_rows_are_the_visits(plan: CallPlan, visits: list[Visit]) -> None:
    assert plan.num_rows % CALL_ROWS == 0
    positions, roots = section(plan, plan.positions), section(plan, plan.root_rows)
    tokens = dict(zip(roots, section(plan, plan.root_tokens), strict=True))
    for visit in visits:
        for place, row in zip(visit.call_rows, visit.run.key, strict=True):
            assert positions[place] == visit.run.tree.positions[row]
            assert tokens[int(place)] == visit.run.tree.tokens[row]
    read = [
        int(place)
        for visit in visits
        for place in (visit.call_rows if visit.read is None else visit.call_rows[visit.read])
    ]
    assert section(plan, plan.output_rows) == read
    if plan.forward_rows is None:
        assert -(-len(read) // CALL_ROWS) * CALL_ROWS == plan.num_rows
    else:
        forward = section(plan, plan.forward_rows)
        assert forward[: len(read)] == read
        assert not {*forward[len(read) :]} & {*read}
        assert len(forward) % CALL_ROWS == 0


@pytest.mark.parametrize("window", [None, 3])
@settings(max_examples=60)
@given(visits=calls(keep_keys=True))
def test_rows_see_their_ancestors_at_the_index_of_their_positions(
    window: int | None, visits: list[Visit]
) -> None:
    for layout in Layout:
        plan = planned(visits, layout, window=window, keep_keys=True)
        assert_all_see_their_ancestors(plan, visits, window, by_position=True)
        assert_rows_are_the_visits(plan, visits)
        slots = [int(slot) for visit in visits for slot in visit.key_slots]
        assert section(plan, plan.key_slots) == slots


@pytest.mark.parametrize("window", [None, 3])
@settings(max_examples=60)
@given(visits=calls(keep_keys=False))
def test_rows_whose_keys_are_not_kept_see_their_ancestors_in_order(
    window: int | None, visits: list[Visit]
) -> None:
    for layout in Layout:
        plan = planned(visits, layout, window=window, keep_keys=False)
        is_packed = layout is Layout.PACKED
        assert_all_see_their_ancestors(plan, visits, window, by_position=is_packed)
        assert_rows_are_the_visits(plan, visits)
        assert bool(section(plan, plan.key_slots)) == is_packed, "what is gathered is written"


@given(count=st.integers(1, 3000))
def test_numbers_of_keys_end_with_a_small_block_or_a_whole_one(count: int) -> None:
    shapes = Shapes(rows=8, keys=32, key_block=512, key_part=256)
    filled = shapes.num_keys(count)
    assert 0 <= filled - count < 32 + 256
    assert filled % 32 == 0
    assert filled % 512 <= 256
    assert shapes.num_rows(count) % 8 == 0


def test_masks_are_made_once() -> None:
    masks, tree = Masks(torch.bfloat16, CPU), TokenTree(range(3))
    tree.add_chain(2, [5])
    tree.add_chain(2, [6])
    run: RowSet = tree.row_set(range(5))
    first = masks.of_block([run, run], (8, 0, 8), None)
    assert first.shape == (1, 1, 8, 8)
    assert first.data_ptr() == masks.of_block([run], (8, 0, 8), None).data_ptr()
    assert masks.of_block([run, None], (8, 0, 8), None).shape == (2, 1, 8, 8)
    assert not torch.equal(first, masks.of_block([run], (8, 0, 8), 2))
    assert (first == 0).any(dim=-1).all(), "a row that sees nothing is NaN"


def test_masks_take_no_more_memory_than_they_may() -> None:
    masks = Masks(torch.float32, CPU, max_bytes=10 * 4 * 8 * 8)
    first = masks.of_block([None], (8, 0, 8), None)
    for window in range(1, 10):
        masks.of_block([None], (8, 0, 8), window)
    assert masks.of_block([None], (8, 0, 8), None).data_ptr() == first.data_ptr()
    assert masks.num_bytes == 10 * first.nbytes
    for num_rows in (8, 16, 24, 32, 40):
        mask = masks.of_block([None], (num_rows, 0, num_rows), 64)
        assert mask.shape == (1, 1, num_rows, num_rows)
        assert masks.num_bytes <= 10 * first.nbytes
    large = masks.of_block([None], (400, 0, 400), None)
    assert (large[0, 0].isfinite().sum(dim=1) == torch.arange(1, 401)).all()
    assert masks.num_bytes <= 10 * first.nbytes
