"""What an engine may take of a GPU on which others have been, or are, of the same process."""

import pytest
import torch
from support.model_doubles import loaded_tiny

from search_cluster.model import device_memory
from search_cluster.model.device_memory import default_state_bytes, memory_of
from search_cluster.model.loaded import LoadedModel

GB = 10**9
CARD_BYTES = 80 * GB


class Card:
    """A GPU of which torch keeps what its tensors leave, until it is told to give it back."""

    def __init__(self) -> None:
        self.taken_bytes = 2 * GB  # by the process
        self.kept_bytes = 0

    def told(self, device: torch.device) -> tuple[int, int]:
        return CARD_BYTES - self.taken_bytes - self.kept_bytes, CARD_BYTES

    def give_back(self) -> None:
        self.kept_bytes = 0


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    monkeypatch.setattr(torch.cuda, "mem_get_info", card.told)
    monkeypatch.setattr(torch.cuda, "empty_cache", card.give_back)
    return card


@pytest.fixture
def loaded(card: Card, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setattr(device_memory, "device_names", lambda device, number: ["cuda:0"])
    tiny = loaded_tiny()
    object.__setattr__(tiny, "device", "cuda")
    return tiny


def test_memory_that_torch_keeps_for_nobody_is_free(card: Card, loaded: LoadedModel) -> None:
    alone = default_state_bytes(loaded)
    assert alone > 70 * GB
    card.kept_bytes = alone  # of an engine that is gone
    assert default_state_bytes(loaded) == alone


def test_memory_of_an_engine_that_is_there_is_not(card: Card, loaded: LoadedModel) -> None:
    alone = default_state_bytes(loaded)
    card.taken_bytes += alone
    assert default_state_bytes(loaded) <= CARD_BYTES - card.taken_bytes


@pytest.mark.parametrize("num_engines", [1, 2, 3])
def test_engines_that_are_there_together_have_equal_parts(
    card: Card, loaded: LoadedModel, num_engines: int
) -> None:
    parts = []
    for _ in range(num_engines):
        parts.append(default_state_bytes(loaded, num_engines=num_engines))
        card.taken_bytes += parts[-1]
    assert len(set(parts)) == 1
    assert sum(parts) > 0.85 * CARD_BYTES
    assert card.taken_bytes + num_engines * memory_of(loaded).activation_bytes <= CARD_BYTES
