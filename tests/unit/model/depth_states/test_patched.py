"""Patching against whole passes that put the donor's state in by hand, a pass for each depth."""

import pytest
import torch
from support.loaded_tiny import loaded_tiny
from support.tiny import FAMILIES
from torch import Tensor

from search_cluster.model.depth_states.patch_readings import PatchReadings, all_pairs
from search_cluster.model.depth_states.patched import PatchPair, patched_states, read_patched
from search_cluster.model.depth_states.probes import PromptProbe
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.lens.lens import Lens
from search_cluster.model.loaded import LoadedModel


def probe(prompt: int, ids: tuple[int, ...], asked: tuple[int, ...]) -> PromptProbe:
    return PromptProbe(
        prompt=prompt, ids=ids, positions=(len(ids) - 1,), labels=(0,), asked=(asked,)
    )


PAIRS = (
    PatchPair(
        donor=probe(0, tuple(range(20, 31)), (5, 6)),
        recipient=probe(0, (*range(40, 47), 30), (7, 8, 9)),
    ),
    PatchPair(
        donor=probe(1, (*range(50, 54), 22), (5, 6)),
        recipient=probe(1, tuple(range(60, 74)), (7, 8, 9)),
    ),
)
"""The prompts of the first pair end with the same token, those of the second do not."""


def last_states(loaded: LoadedModel, ids: tuple[int, ...]) -> list[Tensor]:
    run = LayerwisePass(loaded.model, torch.tensor([ids]))
    states = [run.hidden_BTD[0, -1].clone()]
    for layer in range(loaded.num_layers):
        run.step(layer)
        states.append(run.hidden_BTD[0, -1].clone())
    return states


def patched_by_hand(loaded: LoadedModel, pair: PatchPair, depth: int) -> Tensor:
    run = LayerwisePass(loaded.model, torch.tensor([pair.recipient.ids]))
    for layer in range(depth):
        run.step(layer)
    run.hidden_BTD[0, -1] = last_states(loaded, pair.donor.ids)[depth]
    for layer in range(depth, loaded.num_layers):
        run.step(layer)
    return run.hidden_BTD[0, -1]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_pass_says_what_a_pass_for_each_depth_says(family: str) -> None:
    loaded = loaded_tiny(model_type=family)
    states_SND = patched_states(loaded, PAIRS)
    assert states_SND.shape[:2] == (loaded.num_layers + 2, len(PAIRS))
    for place, pair in enumerate(PAIRS):
        for depth in range(loaded.num_layers + 1):
            wanted = patched_by_hand(loaded, pair, depth)
            torch.testing.assert_close(states_SND[depth, place], wanted, atol=2e-5, rtol=1e-4)
        own = last_states(loaded, pair.recipient.ids)[-1]
        torch.testing.assert_close(states_SND[-1, place], own, atol=2e-5, rtol=1e-4)


def test_behind_the_last_layer_it_is_the_donor_to_the_bit() -> None:
    loaded = loaded_tiny()
    lens = Lens.logit(loaded.model)
    for pair in PAIRS:
        patched_D = patched_states(loaded, [pair])[loaded.num_layers, 0]
        donor_D = last_states(loaded, pair.donor.ids)[-1]
        assert torch.equal(patched_D, donor_D)
        logits = [
            lens.logits(loaded.model, state, loaded.num_layers) for state in (patched_D, donor_D)
        ]
        assert torch.equal(*logits)


def test_before_the_first_layer_the_same_token_changes_nothing_and_another_one_does() -> None:
    loaded = loaded_tiny()
    states_SND = patched_states(loaded, PAIRS)
    torch.testing.assert_close(states_SND[0, 0], states_SND[-1, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(states_SND[0, 1], states_SND[-1, 1], atol=1e-2)
    swapped = probe(1, (*PAIRS[1].recipient.ids[:-1], PAIRS[1].donor.ids[-1]), (7, 8, 9))
    wanted = last_states(loaded, swapped.ids)[-1]
    torch.testing.assert_close(states_SND[0, 1], wanted, atol=2e-5, rtol=1e-4)


def test_the_options_of_both_are_read_whatever_the_company() -> None:
    loaded = loaded_tiny()
    together = read_patched(loaded, PAIRS)
    apart = all_pairs([read_patched(loaded, [pair]) for pair in PAIRS])
    assert together.log_SNK.shape == (loaded.num_layers + 2, 2, 5)
    assert together.log_SNK == pytest.approx(apart.log_SNK, abs=1e-4)
    log_V = loaded.model(torch.tensor([PAIRS[1].recipient.ids])).logits[0, -1].log_softmax(-1)
    assert together.log_SNK[-1, 1] == pytest.approx(log_V[[5, 6, 7, 8, 9]].numpy(), abs=1e-4)
    log_V = loaded.model(torch.tensor([PAIRS[1].donor.ids])).logits[0, -1].log_softmax(-1)
    assert together.log_SNK[-2, 1] == pytest.approx(log_V[[5, 6, 7, 8, 9]].numpy(), abs=1e-4)
    again = PatchReadings.from_arrays(together.to_arrays())
    assert (again.log_SNK == together.log_SNK).all()
    assert again.prompt_N.tolist() == [0, 1]
