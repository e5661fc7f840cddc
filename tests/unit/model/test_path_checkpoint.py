from pathlib import Path

import pytest
import torch
from support import tiny
from support.placement import place_weights
from transformers import AutoModelForCausalLM, PreTrainedModel

from search_cluster.errors import InvalidPathError, ModelError
from search_cluster.model.materialise import materialise
from search_cluster.model.path_checkpoint import path_checkpoint
from search_cluster.paths.layer_path import LayerPath

PATHS = ((0, 2, 3, 5), (0, 4, 1, 5, 2, 3, 3, 0, 1, 2, 5, 4, 4, 1), (3,))


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny.tiny_model(request.param)


@pytest.mark.parametrize("layers", PATHS)
def test_what_is_saved_loads_with_transformers_alone_and_generates_the_same(
    model: PreTrainedModel, layers: tuple[int, ...], tmp_path: Path
) -> None:
    path = LayerPath(layers, tiny.NUM_LAYERS)
    path_checkpoint(model, path).save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation=model.config._attn_implementation
    ).eval()
    assert type(loaded) is type(model)
    assert loaded.config.num_hidden_layers == len(loaded.model.layers) == len(layers)
    for own in (model, loaded):
        place_weights(own)
    ids = torch.arange(20, 34)[None]
    view = materialise(model, path)
    assert torch.equal(loaded(ids).logits, view(ids).logits)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 10, "do_sample": False}
    assert torch.equal(loaded.generate(ids, **options), view.generate(ids, **options))  # type: ignore[operator]
    assert len({tensor.data_ptr() for tensor in loaded.model.layers.parameters()}) == len(
        list(loaded.model.layers.parameters())
    )


def test_a_configuration_that_is_not_carried_over_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny.tiny_model("smollm3")
    monkeypatch.setattr(
        "search_cluster.model.path_checkpoint.own_config",
        lambda config, path: _without_rope(model),
    )
    with pytest.raises(
        ModelError,
        match=r"path 0-2,4 can't be a plain smollm3 checkpoint \(its logits would be off",
    ):
        path_checkpoint(model, LayerPath((0, 1, 2, 4), 6))
    model = tiny.tiny_model("qwen3_moe")
    monkeypatch.setattr(
        "search_cluster.model.path_checkpoint.own_config", lambda config, path: model.config
    )
    with pytest.raises(
        ModelError, match=r"can't be a plain qwen3_moe checkpoint \(Error\(s\) in loading"
    ):
        path_checkpoint(model, LayerPath((0, 1, 2, 4), 6))


def _without_rope(model: PreTrainedModel) -> object:
    config = tiny.tiny_config("smollm3", num_hidden_layers=4)
    config.no_rope_layers = [1, 0, 1, 0]
    return config


def test_paths_of_other_depths_are_refused() -> None:
    with pytest.raises(InvalidPathError, match="is for a model of 7 layers"):
        path_checkpoint(tiny.tiny_model(), LayerPath.identity(7))
