"""The self-test of a loaded model leaves the device's memory to engines."""

import pytest
import torch
from support import tiny

from search_cluster.model.engine import state_memory
from search_cluster.model.engine.slabs import FIRST_ROWS, Slab
from search_cluster.model.load.selftest import NUM_PROBE_TOKENS, check_model


def test_it_takes_room_for_few_rows_where_memory_is_taken_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Slab] = []

    class Watched(Slab):
        def __init__(self, *args: object, **settings: object) -> None:
            super().__init__(*args, **settings)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(state_memory, "Slab", Watched)
    monkeypatch.setattr(state_memory, "TAKEN_AT_ONCE", ("cpu",))
    with torch.inference_mode():
        check_model(tiny.tiny_model())
    assert made
    for slab in made:
        num_rows = slab.num_bytes // slab.bytes_per_row
        assert NUM_PROBE_TOKENS * tiny.NUM_LAYERS < num_rows <= FIRST_ROWS
