"""Loading onto several GPUs: what goes where, and what is refused in one line."""

from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from support import tiny
from support.fake_devices import DEVICES, fake_devices
from support.placed import PATHS, placed_tiny
from transformers import PreTrainedModel

from search_cluster.errors import ModelError
from search_cluster.model.devices.layer_devices import device_names, devices_of
from search_cluster.model.devices.placing import place_layers, require_layers
from search_cluster.model.devices.several import (
    device_map_of,
    parts_of_devices,
    require_alike_devices,
    require_several,
    take_dispatch_off,
)
from search_cluster.model.load.loading import load_model
from search_cluster.model.materialise import materialise
from search_cluster.model.online.body import OnlineBody
from search_cluster.model.online.lazy_pass import LazyPass


def test_devices_follow_the_first_one() -> None:
    assert device_names("cpu", 1) == ("cpu",)
    assert device_names("cuda", 1) == ("cuda",)
    assert device_names("cuda", 3) == ("cuda:0", "cuda:1", "cuda:2")
    assert device_names("cuda:2", 2) == ("cuda:2", "cuda:3")


def test_a_model_is_read_straight_onto_its_devices() -> None:
    config = tiny.tiny_config("qwen3_moe", tie_word_embeddings=True)
    assert device_map_of(config, ("cpu",)) is None
    assert device_map_of(config, ("cuda:1",)) == {"": "cuda:1"}
    parts = device_map_of(config, ("cuda:0", "cuda:1"))
    assert parts is not None
    assert parts["model.embed_tokens"] == parts["model.layers.0"] == "cuda:0"
    assert parts["lm_head"] == parts["model.norm"] == parts["model.layers.5"] == "cuda:1"
    covered = dict(tiny.tiny_model("qwen3_moe").named_parameters())
    assert all(any(name.startswith(f"{part}.") for part in parts) for name in covered)


@pytest.fixture
def dispatched() -> PreTrainedModel:
    """A model as accelerate leaves it that was sent to several devices, all of them the CPU."""
    model = tiny.tiny_model(tie_word_embeddings=True)
    parts = parts_of_devices((3, 3), ("cpu", "cpu"))
    dispatch_model(model, parts, main_device="cpu", force_hooks=True)
    model.hf_device_map = parts_of_devices((3, 3), ("cpu", "cuda"))
    return model


def test_views_can_follow_once_accelerate_has_let_go(dispatched: PreTrainedModel) -> None:
    tokens_BT = torch.tensor([[5, 6, 7]])
    with pytest.raises(ModelError, match="is wrapped"):
        materialise(dispatched, PATHS[1])
    take_dispatch_off(dispatched)
    wanted = materialise(tiny.tiny_model(tie_word_embeddings=True), PATHS[1])(tokens_BT).logits
    assert torch.equal(materialise(dispatched, PATHS[1])(tokens_BT).logits, wanted)
    with fake_devices():
        place_layers(dispatched.requires_grad_(False), DEVICES[:2])
        assert devices_of(dispatched).distinct == DEVICES[:2]
        assert dispatched.lm_head.weight.device == DEVICES[1], "a tied head is there twice"
        found = materialise(dispatched, PATHS[1])(tokens_BT.to(DEVICES[0])).logits
        assert torch.equal(found.cpu(), wanted)


def test_a_device_that_is_no_gpu_is_one_line(tmp_path: Path) -> None:
    folder = tiny.save_tiny_model(tmp_path)
    text = "^devices_per_worker is 2, and the device is cpu; layers are shared by GPUs alone: "
    with pytest.raises(ModelError, match=text):
        load_model(str(folder), device="cpu", devices_per_worker=2)


def test_more_devices_than_there_are_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    require_several("cuda", 4)
    require_several("cuda:2", 2)
    with pytest.raises(ModelError, match="devices_per_worker is 8, and this process sees 4 GPUs; "):
        require_several("cuda", 8)
    with pytest.raises(ModelError, match="sees 4 GPUs, of which cuda:3 is to be the first; "):
        require_several("cuda:3", 2)


def test_more_devices_than_layers_is_one_line() -> None:
    require_layers(6, 6)
    with pytest.raises(ModelError, match=r"is 7, and the model has 6 layers; .* to 6 or less"):
        require_layers(6, 7)


def test_unlike_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"cuda:0": "H100", "cuda:1": "H100", "cuda:2": "A100"}
    monkeypatch.setattr(torch.cuda, "get_device_name", kinds.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (9, 0))
    require_alike_devices(("cuda:0", "cuda:1"))
    with pytest.raises(ModelError, match=r"^cuda:0 is a H100 and cuda:2 a A100; devices of one "):
        require_alike_devices(("cuda:0", "cuda:1", "cuda:2"))


def test_routers_that_choose_on_the_way_say_that_they_take_one_device() -> None:
    with fake_devices():
        model = placed_tiny(devices=DEVICES[:2]).model
        for build in (
            lambda: OnlineBody(model, lambda prompt: None),  # type: ignore[arg-type, return-value]
            lambda: LazyPass(model, PATHS[1]),
        ):
            with pytest.raises(ModelError, match=r"are on cpu:0, cpu:1; .* one device: load"):
                build()
