import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from search_cluster.errors import InvalidPathError, ModelError
from search_cluster.model.anatomy import ANATOMIES
from search_cluster.model.layerwise import LayerwisePass
from search_cluster.model.materialise import materialise
from search_cluster.paths.layer_path import LayerPath

NUM_TOKENS = 14
PATHS = {
    "skip": (0, 2, 3, 5),
    "repeat": (0, 1, 2, 2, 3, 4, 5),
    "skip_first": (1, 2, 3, 4, 5),
    "block_repeat": (0, 1, 2, 3, 1, 2, 3, 4, 5),
    "reordered_long": (0, 4, 1, 5, 2, 3, 3, 0, 1, 2, 5, 4, 4, 1),
    "one_layer": (3,),
}
TOLERANCE = 3e-4
"""Ten times the largest rounding noise seen over random paths; one wrong layer moves some logit by
more than 1."""


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny.tiny_model(request.param)


def tokens(num_rows: int = 2, num_tokens: int = NUM_TOKENS, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, tiny.VOCAB_SIZE, (num_rows, num_tokens), generator=generator)


def path_of(layers: tuple[int, ...]) -> LayerPath:
    return LayerPath(layers, tiny.NUM_LAYERS)


def reference_logits(
    model: PreTrainedModel, layers: tuple[int, ...], ids: Tensor, mask: Tensor | None = None
) -> Tensor:
    plain = LayerwisePass(model, ids, mask)
    for layer in layers:
        plain.step(layer)
    return plain.logits(slice(None))


def cached_logits(view: PreTrainedModel, ids: Tensor, prefill: int) -> Tensor:
    cache = DynamicCache(config=view.config)
    parts = [ids[:, :prefill], *torch.split(ids[:, prefill:], 1, dim=1)]
    return torch.cat(
        [view(part, past_key_values=cache, use_cache=True).logits for part in parts], dim=1
    )


def test_every_anatomy_has_a_tiny_model_in_these_tests() -> None:
    assert set(tiny.FAMILIES) == set(ANATOMIES)


def test_windows_are_shorter_than_the_prompts_and_matter() -> None:
    wide, narrow = (
        tiny.tiny_model("mistral", sliding_window=window) for window in (100, tiny.SLIDING_WINDOW)
    )
    ids = tokens()
    assert tiny.SLIDING_WINDOW < NUM_TOKENS
    gap = (wide(ids).logits - narrow(ids).logits).abs().amax((0, 2))
    assert gap[: tiny.SLIDING_WINDOW].max() < TOLERANCE
    assert gap[tiny.SLIDING_WINDOW :].min() > 1e-3


def test_the_identity_path_is_the_model_bit_by_bit(model: PreTrainedModel) -> None:
    view = materialise(model, LayerPath.identity(tiny.NUM_LAYERS))
    assert torch.equal(view(tokens()).logits, model(tokens()).logits)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_runs_as_the_plain_pass_does(model: PreTrainedModel, name: str) -> None:
    view = materialise(model, path_of(PATHS[name]))
    expected = reference_logits(model, PATHS[name], tokens())
    torch.testing.assert_close(
        view(tokens(), use_cache=False).logits, expected, atol=TOLERANCE, rtol=0
    )
    assert (expected - model(tokens()).logits).abs().max() > 1e-2  # the path does change something


@pytest.mark.parametrize("name", PATHS)
def test_decoding_step_by_step_with_a_cache_equals_one_plain_pass(
    model: PreTrainedModel, name: str
) -> None:
    view = materialise(model, path_of(PATHS[name]))
    expected = reference_logits(model, PATHS[name], tokens())
    torch.testing.assert_close(
        cached_logits(view, tokens(), prefill=8), expected, atol=TOLERANCE, rtol=0
    )
    torch.testing.assert_close(
        cached_logits(view, tokens(), prefill=1), expected, atol=TOLERANCE, rtol=0
    )


def test_left_padding_changes_nothing(model: PreTrainedModel) -> None:
    layers = PATHS["block_repeat"]
    ids = tokens(1)
    padded = torch.cat([torch.full((1, 3), tiny.PAD_ID), ids], dim=1)
    mask = torch.cat([torch.zeros(1, 3, dtype=torch.long), torch.ones_like(ids)], dim=1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    view = materialise(model, path_of(layers))
    expected = view(ids, use_cache=False).logits
    seen = view(padded, attention_mask=mask, position_ids=positions, use_cache=False).logits[:, 3:]
    torch.testing.assert_close(seen, expected, atol=TOLERANCE, rtol=0)
    by_hand = reference_logits(model, layers, padded, mask)[:, 3:]
    torch.testing.assert_close(by_hand, expected, atol=TOLERANCE, rtol=0)


def test_generate_with_cache_equals_greedy_decoding_by_plain_passes(model: PreTrainedModel) -> None:
    layers = PATHS["repeat"]
    view = materialise(model, path_of(layers))
    ids = tokens(1, num_tokens=7)
    generated = view.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=9,
        min_new_tokens=9,
    )
    by_hand = ids
    for _ in range(9):
        logits = reference_logits(model, layers, by_hand)[:, -1]
        logits[:, tiny.EOS_ID] = -torch.inf  # min_new_tokens forbids it
        by_hand = torch.cat([by_hand, logits.argmax(-1, keepdim=True)], dim=1)
    assert generated.tolist() == by_hand.tolist()


def test_generate_with_left_padding_answers_each_row_as_alone(model: PreTrainedModel) -> None:
    view = materialise(model, path_of(PATHS["reordered_long"]))
    short, long = tokens(1, 6, seed=2), tokens(1, 11, seed=3)
    ids = torch.cat([torch.cat([torch.full((1, 5), tiny.PAD_ID), short], dim=1), long])
    mask = (torch.arange(11) >= torch.tensor([[5], [0]])).long()
    options = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6}
    together = view.generate(ids, attention_mask=mask, **options)[:, 11:]
    alone = [
        view.generate(row, attention_mask=torch.ones_like(row), **options)[0, row.shape[1] :]
        for row in (short, long)
    ]
    assert together.tolist() == [row.tolist() for row in alone]


def test_the_original_model_stays_as_it_was(model: PreTrainedModel) -> None:
    config, layers = model.config.to_dict(), list(model.model.layers)
    slots = [layer.self_attn.layer_idx for layer in layers]
    weights = {
        name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()
    }
    before = model(tokens()).logits
    view = materialise(model, path_of(PATHS["reordered_long"]))
    view(tokens(), output_hidden_states=True)
    view.generate(
        tokens(1),
        attention_mask=torch.ones(1, NUM_TOKENS).long(),
        max_new_tokens=3,
        do_sample=False,
    )
    assert model.config.to_dict() == config
    assert [a is b for a, b in zip(model.model.layers, layers, strict=True)] == [
        True
    ] * tiny.NUM_LAYERS
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == slots
    for name, value in model.state_dict().items():
        assert value.data_ptr() == weights[name][0]
        assert torch.equal(value, weights[name][1])
    assert torch.equal(model(tokens()).logits, before)


def test_the_view_copies_no_weight(model: PreTrainedModel) -> None:
    own = {parameter.data_ptr() for parameter in model.parameters()}
    view = materialise(model, path_of(PATHS["reordered_long"]))
    assert {parameter.data_ptr() for parameter in view.parameters()} <= own
    assert len(view.model.layers) == view.config.num_hidden_layers == len(PATHS["reordered_long"])
    assert [layer.self_attn.layer_idx for layer in view.model.layers] == list(
        range(len(view.model.layers))
    )


def test_hidden_states_come_once_per_position() -> None:
    model = tiny.tiny_model("llama")
    model(tokens(), output_hidden_states=True)
    view = materialise(model, path_of(PATHS["block_repeat"]))
    states = view(tokens(), output_hidden_states=True).hidden_states
    assert len(states) == len(PATHS["block_repeat"]) + 1
    assert len(model(tokens(), output_hidden_states=True).hidden_states) == tiny.NUM_LAYERS + 1


def test_views_made_before_and_after_the_model_captures_states_do_not_disturb_each_other() -> None:
    model = tiny.tiny_model("llama")
    view = materialise(model, path_of(PATHS["repeat"]))
    model(tokens(), output_hidden_states=True)
    assert len(view(tokens(), output_hidden_states=True).hidden_states) == len(PATHS["repeat"]) + 1


def test_a_path_of_another_depth_is_refused() -> None:
    with pytest.raises(
        InvalidPathError, match=r"path 0-3 is for a model of 4 layers; this model has 6"
    ):
        materialise(tiny.tiny_model(), LayerPath.identity(4))


def test_a_model_with_wrapped_layers_is_refused() -> None:
    model = tiny.tiny_model()
    layer = model.model.layers[1]
    layer.forward = layer.forward
    with pytest.raises(ModelError, match="forward of LlamaDecoderLayer is wrapped"):
        materialise(model, LayerPath.identity(tiny.NUM_LAYERS))


QWEN3 = tiny.tiny_model("qwen3", seed=5)


@settings(max_examples=40, deadline=None)
@given(
    layers=st.lists(st.integers(0, tiny.NUM_LAYERS - 1), min_size=1, max_size=14).map(tuple),
    prefill=st.integers(1, NUM_TOKENS - 1),
    seed=st.integers(0, 99),
)
def test_any_path_with_and_without_cache_equals_the_plain_pass(
    layers: tuple[int, ...], prefill: int, seed: int
) -> None:
    ids = tokens(1, seed=seed)
    view = materialise(QWEN3, path_of(layers))
    expected = reference_logits(QWEN3, layers, ids)
    torch.testing.assert_close(view(ids, use_cache=False).logits, expected, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(cached_logits(view, ids, prefill), expected, atol=TOLERANCE, rtol=0)
