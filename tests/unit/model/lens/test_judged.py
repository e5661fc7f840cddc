import pytest
import torch
from support import tiny

from search_cluster.model.lens.judged import AFTER, BEFORE, LOGIT, TUNED, judge_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.readings import read_states
from search_cluster.model.lens.states import walk_states
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.layer_path import LayerPath

LAYERS, WIDTH = tiny.NUM_LAYERS, 32
SEQUENCES = (
    TokenSequence(ids=tuple(range(20, 34))),
    TokenSequence(ids=tuple(range(40, 60)), first=5),
)


def random_lens() -> Lens:
    generator = torch.Generator().manual_seed(0)
    return Lens(
        kind=LensKind.KL,
        weight_LDD=0.1 * torch.randn(LAYERS, WIDTH, WIDTH, generator=generator),
        bias_LD=0.1 * torch.randn(LAYERS, WIDTH, generator=generator),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_figures_are_those_of_the_readings(family: str, dtype: torch.dtype) -> None:
    model, lens = tiny.tiny_model(family).to(dtype), random_lens()
    judged = judge_lens(model, lens, SEQUENCES)
    assert judged.num_rows_G.tolist() == [14, 15]
    expected = []
    for sequence in SEQUENCES:
        path = LayerPath.identity(LAYERS)
        with torch.inference_mode():
            states = [
                hidden[0, sequence.first :]
                for hidden in walk_states(model, torch.tensor([sequence.ids]), path)
            ]
        states_SND = torch.stack(states)
        asked_NK = torch.zeros(states_SND.shape[1], 0, dtype=torch.long)
        expected.append(
            read_states(model, lens, states_SND, range(LAYERS + 1), asked_NK).divergence_SN
        )
    mean_S = torch.cat(expected, dim=1).mean(dim=1)
    # Padding and the order of sums differ; bfloat16 rounds states to 8 binary digits.
    tolerance = 1e-3 if dtype is torch.float32 else 0.1
    assert torch.tensor(judged.divergence(TUNED)) == pytest.approx(mean_S, abs=tolerance)
    assert judged.agreement(TUNED)[-1] == 1.0


def test_one_off_reads_with_the_translators_of_the_neighbours() -> None:
    model, lens = tiny.tiny_model(), random_lens()
    judged = judge_lens(model, lens, SEQUENCES)
    for way, off, missing in ((BEFORE, -1, [0]), (AFTER, 1, [LAYERS - 1, LAYERS])):
        read = judged.divergence(way)
        assert [depth for depth, value in enumerate(read) if value is None] == missing
        moved = Lens(
            kind=LensKind.KL,
            weight_LDD=lens.weight_LDD.roll(-off, 0),
            bias_LD=lens.bias_LD.roll(-off, 0),
        )
        right = judge_lens(model, moved, SEQUENCES, one_off=False).divergence(TUNED)
        for depth in range(LAYERS):
            if depth not in missing:
                assert read[depth] == pytest.approx(right[depth], abs=1e-5)
    # The last state has no translator, and published scripts read it with the one before it.
    assert judged.divergence(BEFORE)[-1] > 0.01  # type: ignore[operator]
    assert judge_lens(model, lens, SEQUENCES, one_off=False).divergence(BEFORE) == [None] * 7


def test_the_logit_lens_is_beside_it() -> None:
    model = tiny.tiny_model()
    judged = judge_lens(model, Lens.logit(model), SEQUENCES)
    assert judged.divergence(TUNED) == judged.divergence(LOGIT)
    assert judged.agreement(TUNED) == judged.agreement(LOGIT)
