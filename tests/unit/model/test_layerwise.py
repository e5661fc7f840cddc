import pytest
import torch
from support import tiny

from search_cluster.errors import InvalidPathError, UnsupportedFamilyError
from search_cluster.model.anatomy import anatomy_of, layer_type_of
from search_cluster.model.layerwise import LayerwisePass


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_running_all_layers_in_order_gives_the_models_own_logits_and_states(family: str) -> None:
    model = tiny.tiny_model(family)
    ids = torch.arange(20, 34)[None]
    expected = model(ids, output_hidden_states=True)
    walk = LayerwisePass(model, ids)
    for layer in range(tiny.NUM_LAYERS):
        torch.testing.assert_close(
            walk.hidden_BTD, expected.hidden_states[layer], atol=2e-5, rtol=0
        )
        walk.step(layer)
    assert walk.num_steps == tiny.NUM_LAYERS
    torch.testing.assert_close(walk.logits(slice(None)), expected.logits, atol=2e-5, rtol=0)


def test_logits_are_read_at_the_asked_rows_and_leave_the_state_alone() -> None:
    walk = LayerwisePass(tiny.tiny_model(), torch.arange(20, 34)[None])
    walk.step(0)
    before = walk.hidden_BTD.clone()
    everywhere = walk.logits(slice(None))
    assert walk.logits().shape == (1, 1, tiny.VOCAB_SIZE)
    torch.testing.assert_close(walk.logits(torch.tensor([3, 5])), everywhere[:, [3, 5]])
    torch.testing.assert_close(walk.logits(), everywhere[:, -1:])
    assert torch.equal(walk.hidden_BTD, before)


def test_a_layer_that_the_model_lacks_is_refused() -> None:
    walk = LayerwisePass(tiny.tiny_model(), torch.arange(20, 34)[None])
    for layer in (-1, 6):
        with pytest.raises(
            InvalidPathError, match=rf"layer {layer} was asked for; the model has layers 0\.\.5"
        ):
            walk.step(layer)


def test_layer_types_follow_the_family() -> None:
    sliding, full = "sliding_attention", "full_attention"
    assert [layer_type_of(tiny.tiny_config("llama"), i) for i in (0, 5)] == [full, full]
    assert [layer_type_of(tiny.tiny_config("mistral"), i) for i in (0, 5)] == [sliding, sliding]
    assert [layer_type_of(tiny.tiny_config("mistral", sliding_window=None), i) for i in (0, 5)] == [
        full,
        full,
    ]
    assert [layer_type_of(tiny.tiny_config("gemma3_text"), i) for i in (0, 1, 2)] == [
        sliding,
        sliding,
        full,
    ]


@pytest.mark.parametrize(
    ("model_type", "text"),
    [
        (
            "gpt_neox",
            r"'gpt_neox' has no anatomy entry; supported families: gemma, .*qwen3.*one short entry",
        ),
        ("jamba", r"'jamba' can't run layer paths: it mixes attention with recurrent layers"),
        (
            "gemma4_text",
            r"'gemma4_text' can't run layer paths: each of its layers has inputs of its own",
        ),
        ("gemma3n_text", r"'gemma3n_text' can't run layer paths: its layers share keys and values"),
    ],
)
def test_other_families_are_refused_by_name(model_type: str, text: str) -> None:
    config = tiny.tiny_config()
    config.model_type = model_type
    with pytest.raises(UnsupportedFamilyError, match=text):
        anatomy_of(config)


def test_bidirectional_models_are_refused() -> None:
    with pytest.raises(UnsupportedFamilyError, match="sets use_bidirectional_attention"):
        anatomy_of(tiny.tiny_config("gemma3_text", use_bidirectional_attention=True))
