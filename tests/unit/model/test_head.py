import dataclasses
import gc

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask, loaded_tiny

from search_cluster.model import head as head_module
from search_cluster.model.decoding import decode_greedily
from search_cluster.model.head import float32_head, float32_logits, wide_weight
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.materialise import materialise
from search_cluster.model.online.causal_lm import with_online_routing
from search_cluster.model.online.chooser import keep_choice
from search_cluster.model.prompting import encode_example
from search_cluster.model.scoring import score_choices
from search_cluster.paths.layer_path import LayerPath

IDENTITY = LayerPath.identity(tiny.NUM_LAYERS)
IDS = [tiny.BOS_ID, 30, 31, 32, 33, 34]
SIXTEEN_BITS = [torch.bfloat16, torch.float16]


@dataclasses.dataclass(frozen=True)
class Choice:
    path: LayerPath


def states(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, 32, generator=torch.Generator().manual_seed(3)).to(dtype)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_logits_of_a_float32_model_are_its_own_to_the_bit(family: str) -> None:
    model = tiny.tiny_model(family)
    ids_BT = torch.tensor([IDS])
    final_BTD = model.model(ids_BT, use_cache=False).last_hidden_state
    assert torch.equal(float32_logits(model, final_BTD), model(ids_BT, use_cache=False).logits)


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_logits_of_16_bit_states_are_exact_products_that_nothing_rounds(
    family: str, dtype: torch.dtype
) -> None:
    model = tiny.tiny_model(family).to(dtype)
    final_BTD = states(dtype, 2, 3)
    logits_BTV = float32_logits(model, final_BTD)
    exact_BTV = final_BTD.double() @ model.lm_head.weight.double().t()
    if family == "gemma2":
        exact_BTV = torch.tanh(exact_BTV / 5.0) * 5.0
    assert logits_BTV.dtype is torch.float32
    torch.testing.assert_close(logits_BTV.double(), exact_BTV, atol=1e-5, rtol=1e-5)
    rounded = model.lm_head(final_BTD).float()
    assert (rounded - exact_BTV).abs().max() > 1e-3  # what there would be without


@pytest.mark.parametrize("dtype", SIXTEEN_BITS)
def test_a_device_that_gives_its_sums_is_asked_for_them(dtype: torch.dtype) -> None:
    model = tiny.tiny_model(tie_word_embeddings=False).to(dtype).to("meta")
    logits_BTV = float32_logits(model, states(dtype, 2, 3).to("meta"))
    assert (logits_BTV.dtype, logits_BTV.shape) == (torch.float32, (2, 3, tiny.VOCAB_SIZE))
    assert model.lm_head not in head_module._WIDE_WEIGHTS  # no second copy of a large weight


def test_a_bias_of_the_head_counts() -> None:
    model = tiny.tiny_model(tie_word_embeddings=False).to(torch.bfloat16)
    without = float32_logits(model, states(torch.bfloat16, 2))
    model.lm_head.bias = torch.nn.Parameter(torch.full([tiny.VOCAB_SIZE], 2.0).bfloat16())
    assert torch.equal(float32_logits(model, states(torch.bfloat16, 2)), without + 2.0)


def test_the_wide_weight_is_made_once_for_all_views_and_goes_with_its_model() -> None:
    loaded = loaded_tiny(tiny.tiny_model().to(torch.bfloat16))
    view = materialise(loaded.model, LayerPath((0, 2), tiny.NUM_LAYERS))
    wide = wide_weight(loaded.model.lm_head)
    assert wide_weight(view.lm_head) is wide
    encoded = encode_example(loaded, ChoiceTask(), CAPITAL)
    score_choices(view, encoded)
    assert wide_weight(view.lm_head) is wide
    before = len(head_module._WIDE_WEIGHTS)
    del loaded, view
    gc.collect()
    assert len(head_module._WIDE_WEIGHTS) == before - 1


def test_choices_of_a_16_bit_model_are_scored_from_float32_logits() -> None:
    loaded = loaded_tiny(tiny.tiny_model().to(torch.bfloat16))
    encoded = encode_example(loaded, ChoiceTask(), CAPITAL)
    first_ids = tuple((ids[0],) for ids in encoded.choice_ids)
    final_BTD = loaded.model.model(torch.tensor([encoded.context_ids])).last_hidden_state
    exact_V = (final_BTD[0, -1].double() @ loaded.model.lm_head.weight.double().t()).log_softmax(-1)
    scores = score_choices(loaded.model, dataclasses.replace(encoded, choice_ids=first_ids))
    assert scores == pytest.approx([float(exact_V[ids[0]]) for ids in first_ids], abs=2e-5)


def test_greedy_tokens_are_told_apart_where_a_16_bit_head_would_tie() -> None:
    # Token 40 wins by a sum of 2 ** -12 in 16, which bfloat16 rounds away: its argmax takes the
    # lower one.
    model = tiny.tiny_model(tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.model.norm.weight.fill_(1.0)
    model = model.to(torch.bfloat16)
    loaded = loaded_tiny(model)
    context = encode_example(loaded, GenerateTask(), SUM).context_ids
    final_D = model.model(torch.tensor([context])).last_hidden_state[0, -1]
    first, second = final_D.abs().topk(2).indices.tolist()
    with torch.no_grad():
        for token in (30, 40):
            model.lm_head.weight[token, first] = 16.0 / float(final_D[first])
        model.lm_head.weight[40, second] = 2**-10 / float(final_D[second])
    assert int(model.lm_head(final_D).argmax()) == 30
    assert decode_greedily(model, loaded.tokenizer, context, max_new_tokens=1) == (40,)
    walk = LayerwisePass(model, torch.tensor([context]))
    for layer in range(tiny.NUM_LAYERS):
        walk.step(layer)
    assert int(walk.logits()[0, -1].argmax()) == 40


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_routed_model_answers_from_float32_logits(dtype: torch.dtype) -> None:
    model = tiny.tiny_model().to(dtype)
    routed = with_online_routing(model, lambda ids: keep_choice(Choice(IDENTITY)))
    logits = routed(torch.tensor([IDS])).logits
    final = model.model(torch.tensor([IDS])).last_hidden_state
    assert logits.dtype is torch.float32
    assert torch.equal(logits, float32_logits(model, final))
    assert (float32_head(model.lm_head) is model.lm_head) is (dtype is torch.float32)
