import pytest
import torch
from support import tiny
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.errors import InvalidPathError, InvalidValueError, NonFiniteLogitsError
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.lens.readings import read_states
from search_cluster.model.lens.states import depths_of, walk_states
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath

IDS_BT = torch.arange(20, 34)[None]
WIDTH = 32
PLAIN = LayerPath.identity(tiny.NUM_LAYERS)


def states_of(model: PreTrainedModel, path: LayerPath) -> Tensor:
    """The states ``[S, T, D]`` of one sequence."""
    return torch.stack([state_BTD[0] for state_BTD in walk_states(model, IDS_BT, path)])


def random_lens(seed: int = 0, scale: float = 0.1) -> Lens:
    generator = torch.Generator().manual_seed(seed)
    return Lens(
        kind=LensKind.RIDGE,
        weight_LDD=scale * torch.randn(tiny.NUM_LAYERS, WIDTH, WIDTH, generator=generator),
        bias_LD=scale * torch.randn(tiny.NUM_LAYERS, WIDTH, generator=generator),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_translators_of_zeros_are_the_logit_lens_to_the_bit(
    family: str, dtype: torch.dtype
) -> None:
    model = tiny.tiny_model(family).to(dtype)
    zeros = Lens(
        kind=LensKind.RIDGE,
        weight_LDD=torch.zeros(tiny.NUM_LAYERS, WIDTH, WIDTH),
        bias_LD=torch.zeros(tiny.NUM_LAYERS, WIDTH),
    )
    logit_lens = Lens.logit(model)
    for depth, state_TD in enumerate(states_of(model, PLAIN)):
        assert torch.equal(
            zeros.logits(model, state_TD, depth), logit_lens.logits(model, state_TD, depth)
        )


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("layers", [(0, 1, 2, 3, 4, 5), (0, 2, 2, 5), (0, 1, 2, 1, 2, 3)])
def test_a_state_along_a_path_reads_as_the_path_that_ends_there(
    family: str, layers: tuple[int, ...]
) -> None:
    model = tiny.tiny_model(family)
    lens = Lens.logit(model)
    states_STD = states_of(model, LayerPath(layers, tiny.NUM_LAYERS))
    for num_run in range(1, len(layers) + 1):
        until = materialise(model, LayerPath(layers[:num_run], tiny.NUM_LAYERS))
        torch.testing.assert_close(
            lens.logits(model, states_STD[num_run], layers[num_run - 1] + 1),
            until(IDS_BT).logits[0],
            atol=5e-5,
            rtol=0,
        )


def test_a_translator_adds_its_product_and_bias_and_the_last_depth_has_none() -> None:
    lens, hidden_D = random_lens(), torch.randn(3, WIDTH)
    expected_D = hidden_D + hidden_D @ lens.weight_LDD[4].T + lens.bias_LD[4]
    torch.testing.assert_close(lens.translate(hidden_D, 4), expected_D)
    assert lens.translate(hidden_D, tiny.NUM_LAYERS) is hidden_D


def test_depths_follow_the_layers_not_their_places() -> None:
    assert depths_of(LayerPath((0, 1, 4, 4, 5), 6)) == (0, 1, 2, 5, 5, 6)


def test_readings_are_those_of_whole_distributions_in_chunks_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search_cluster.model.lens.readings.LOGIT_BYTES", 4 * 3 * tiny.VOCAB_SIZE)
    model, lens = tiny.tiny_model("gemma2"), random_lens()
    path = LayerPath((0, 1, 3, 3, 5), tiny.NUM_LAYERS)
    states_STD, depths = states_of(model, path), depths_of(path)
    asked_NK = torch.randint(tiny.VOCAB_SIZE, (IDS_BT.shape[1], 2))
    readings = read_states(model, lens, states_STD, depths, asked_NK)
    end_TV = lens.logits(model, states_STD[-1], depths[-1]).softmax(dim=-1)
    for place, depth in enumerate(depths):
        probability_TV = lens.logits(model, states_STD[place], depth).softmax(dim=-1)
        sorted_TV = probability_TV.sort(dim=-1, descending=True)
        log_TV = probability_TV.log()
        order_TV = sorted_TV.indices
        assert torch.equal(readings.top_SN[place].long(), order_TV[:, 0])
        for name, expected in {
            "top_probability_SN": sorted_TV.values[:, 0],
            "gap_SN": sorted_TV.values[:, 0] - sorted_TV.values[:, 1],
            "entropy_SN": -(probability_TV * log_TV).sum(-1),
            "divergence_SN": (end_TV * (end_TV.log() - log_TV)).sum(-1),
            "log_probability_SNK": log_TV.gather(1, asked_NK),
        }.items():
            torch.testing.assert_close(
                getattr(readings, name)[place], expected, atol=1e-4, rtol=1e-4
            )
        for k in range(2):
            rank_T = (order_TV == asked_NK[:, [k]]).int().argmax(dim=1)
            assert torch.equal(readings.rank_SNK[place, :, k], rank_T.int())
    assert torch.equal(readings.divergence_SN[-1], torch.zeros(IDS_BT.shape[1]))


def test_nothing_is_asked_and_another_end_is_compared_with() -> None:
    model = tiny.tiny_model()
    lens = Lens.logit(model)
    plain_STD = states_of(model, PLAIN)
    none_N0 = torch.zeros(IDS_BT.shape[1], 0, dtype=torch.long)
    short_STD = states_of(model, LayerPath((0, 1, 2), tiny.NUM_LAYERS))
    alone = read_states(model, lens, short_STD, (0, 1, 2, 3), none_N0)
    against = read_states(model, lens, short_STD, (0, 1, 2, 3), none_N0, plain_STD[-1])
    assert alone.rank_SNK.shape == (4, IDS_BT.shape[1], 0)
    assert bool((alone.divergence_SN[-1] == 0).all())
    assert bool((against.divergence_SN[-1] > 0).all())


def test_what_does_not_fit_is_refused() -> None:
    model = tiny.tiny_model()
    with pytest.raises(InvalidValueError, match=r"translators have weights \(6, 32, 31\)"):
        Lens(kind=LensKind.KL, weight_LDD=torch.zeros(6, 32, 31), bias_LD=torch.zeros(6, 32))
    with pytest.raises(InvalidValueError, match=r"depth 7 was asked for; a model of 6 layers"):
        random_lens().translate(torch.zeros(1, WIDTH), 7)
    with pytest.raises(InvalidPathError, match="is for a model of 5 layers; this model has 6"):
        states_of(model, LayerPath((0, 1), 5))
    states_SND = torch.zeros(2, 3, WIDTH)
    with pytest.raises(InvalidValueError, match=r"they are \[S, N, D\], S and \[N, K\]"):
        read_states(model, random_lens(), states_SND, (0,), torch.zeros(3, 0, dtype=torch.long))
    with pytest.raises(NonFiniteLogitsError, match="the lens reads at depth 0 is not finite"):
        read_states(
            model,
            random_lens(scale=float("inf")),
            states_SND + 1,
            (0, 6),
            torch.zeros(3, 0, dtype=torch.long),
        )
