"""Rows in slabs: nobody shares a slot, and growing moves nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.model.engine.slabs import ZERO_SLOT, Slab

WIDTHS = (3, 2)


def new_slab(num_rows: int = 4, enough_rows: int = 2**62) -> Slab:
    return Slab(
        WIDTHS,
        dtype=torch.float32,
        device=torch.device("cpu"),
        num_rows=num_rows,
        enough_rows=enough_rows,
    )


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40),
    enough_rows=st.sampled_from([1, 8, 2**62]),
)
def test_what_is_written_is_read_until_it_is_given_back(
    steps: list[tuple[bool, int]], enough_rows: int
) -> None:
    slab, held = new_slab(enough_rows=enough_rows), []
    for number, (takes, size) in enumerate(steps):
        if takes:
            slots = torch.from_numpy(slab.take(size))
            for part, width in enumerate(WIDTHS):
                slab.write(slots, torch.full((size, width), number + part / 2), part)
            held.append((number, slots))
        elif held:
            slab.give(held.pop(size % len(held))[1].numpy())
        taken = [int(slot) for _, slots in held for slot in slots]
        assert len(set(taken)) == len(taken) == slab.num_used
        assert ZERO_SLOT not in taken
    for number, slots in held:
        for part, width in enumerate(WIDTHS):
            expected = torch.full((len(slots), width), number + part / 2)
            assert torch.equal(slab.gather(slots, part), expected)
    zero = torch.tensor([ZERO_SLOT])
    assert not slab.gather(zero).any()
    assert not slab.gather(zero, 1).any()


def test_it_doubles_until_there_is_enough_and_grows_little_then() -> None:
    slab = new_slab(num_rows=4, enough_rows=8)
    sizes = []
    for _ in range(10):
        slab.take(1)
        sizes.append(len(slab.parts_MW[0]) - 1)
    assert sizes == [4, 4, 4, 4, 8, 8, 8, 8, 9, 10]
    assert {len(part_MW) for part_MW in slab.parts_MW} == {11}


def test_a_full_slab_is_not_copied_for_every_call() -> None:
    slab = new_slab(num_rows=64, enough_rows=64)
    sizes = set()
    for _ in range(1000):
        slab.take(1)
        sizes.add(len(slab.parts_MW[0]))
    assert len(sizes) < 40


@pytest.mark.parametrize("failing_part", [1, 2])
def test_without_room_nothing_is_taken(failing_part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slab = new_slab(num_rows=4)
    slots = torch.from_numpy(slab.take(3))
    slab.write(slots, torch.ones(3, WIDTHS[0]))
    new_empty, left = torch.Tensor.new_empty, [failing_part]

    def scarce(tensor: torch.Tensor, *size: int) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise torch.OutOfMemoryError("scripted")
        return new_empty(tensor, *size)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "new_empty", scarce)
        with pytest.raises(torch.OutOfMemoryError):
            slab.take(2)
    assert slab.num_used == 3
    more = slab.take(2)
    assert not set(more) & set(slots.tolist())
    assert torch.equal(slab.gather(slots), torch.ones(3, WIDTHS[0]))
