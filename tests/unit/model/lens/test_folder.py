import dataclasses
import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import tiny
from support.model_doubles import loaded_tiny
from torch import Tensor, nn

from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.lens.folder import LensFormat, lens_digest, load_lens, save_lens
from search_cluster.model.lens.lens import Lens, LensKind
from search_cluster.model.loaded import LoadedModel

WIDTH = 32
PARTS = {"dtype": "d", "weights": "w", "config": "c", "tokenizer": "t", "code": "o"}


def loaded(**changes: object) -> LoadedModel:
    return dataclasses.replace(loaded_tiny(), parts=PARTS, **changes)  # type: ignore[arg-type]


def random_lens(seed: int = 0) -> Lens:
    generator = torch.Generator().manual_seed(seed)
    return Lens(
        kind=LensKind.RIDGE,
        weight_LDD=torch.randn(tiny.NUM_LAYERS, WIDTH, WIDTH, generator=generator),
        bias_LD=torch.randn(tiny.NUM_LAYERS, WIDTH, generator=generator),
    )


def published_module(bias: bool = True) -> nn.ModuleList:
    """The translators as tuned-lens builds them: a linear map per layer, in a list."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.ModuleList([nn.Linear(WIDTH, WIDTH, bias=bias) for _ in range(tiny.NUM_LAYERS)])


def write_published(folder: Path, *, bias: bool = True, **config: object) -> nn.ModuleList:
    """A folder as ``tuned_lens.TunedLens.save`` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    module = published_module(bias)
    torch.save(module.state_dict(), folder / "params.pt")
    values = {
        "base_model_name_or_path": "tiny",
        "d_model": WIDTH,
        "num_hidden_layers": tiny.NUM_LAYERS,
        "bias": bias,
        "base_model_revision": None,
        "unembed_hash": "0" * 64,
        "lens_type": "linear_tuned_lens",
    }
    (folder / "config.json").write_text(json.dumps(values | config))
    return module


def assert_equal(one: Lens, other: Lens) -> None:
    assert torch.equal(one.weight_LDD, other.weight_LDD)
    assert torch.equal(one.bias_LD, other.bias_LD)
    assert one.kind is other.kind


@pytest.mark.parametrize("format_", list(LensFormat))
def test_what_is_written_reads_back_to_the_bit(tmp_path: Path, format_: LensFormat) -> None:
    save_lens(tmp_path, random_lens(), loaded(), format_=format_)
    assert_equal(load_lens(tmp_path, loaded()), random_lens())
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("format_", list(LensFormat))
def test_equal_lenses_are_equal_bytes_wherever_they_are_written(
    tmp_path: Path, format_: LensFormat
) -> None:
    for name in ("one", "another"):
        save_lens(tmp_path / name, random_lens(), loaded(), format_=format_)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "another" / file.name).read_bytes()


def test_a_format_takes_the_place_of_the_other(tmp_path: Path) -> None:
    save_lens(tmp_path, random_lens(0), loaded(), format_=LensFormat.SAFETENSORS)
    save_lens(tmp_path, random_lens(1), loaded())
    assert_equal(load_lens(tmp_path, loaded()), random_lens(1))


def test_the_folder_has_each_field_that_tuned_lens_reads(tmp_path: Path) -> None:
    """Its loader: ``TunedLensConfig(**config)``, then ``load_state_dict`` into linear maps."""
    save_lens(tmp_path, random_lens(), loaded(), revision="main")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {
        "base_model_name_or_path": "tiny",
        "d_model": WIDTH,
        "num_hidden_layers": tiny.NUM_LAYERS,
        "bias": True,
        "base_model_revision": "main",
        "unembed_hash": None,  # a hash that is there is compared, and a difference only warned of
        "lens_type": "linear_tuned_lens",
    }
    module = published_module()
    module.load_state_dict(torch.load(tmp_path / "params.pt", weights_only=True), strict=True)
    hidden_ND = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(3))
    lens = random_lens()
    for depth, translator in enumerate(module):
        theirs = hidden_ND + translator(hidden_ND)
        assert torch.allclose(lens.translate(hidden_ND, depth), theirs, atol=1e-5)
        assert not torch.allclose(
            lens.translate(hidden_ND, (depth + 1) % tiny.NUM_LAYERS), theirs, atol=1e-1
        )


@pytest.mark.parametrize("bias", [True, False])
def test_a_published_folder_is_read_with_translator_i_before_layer_i(
    tmp_path: Path, bias: bool
) -> None:
    module = write_published(tmp_path, bias=bias, something_new=1)
    lens = load_lens(tmp_path, loaded())
    assert lens.kind is LensKind.KL
    # What `hidden_states[i]` of transformers is, the state before layer i, is read by translator i.
    model = tiny.tiny_model()
    with torch.inference_mode():
        outputs = model.model(torch.arange(20, 34)[None], output_hidden_states=True)
        for depth in range(tiny.NUM_LAYERS):
            hidden_BTD: Tensor = outputs.hidden_states[depth]
            theirs = model.lm_head(model.model.norm(hidden_BTD + module[depth](hidden_BTD)))
            assert torch.allclose(lens.logits(model, hidden_BTD, depth), theirs, atol=1e-5)


def test_a_published_folder_of_the_same_shape_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_published(tmp_path, base_model_name_or_path="org/other")
    with caplog.at_level(logging.WARNING):
        load_lens(tmp_path, loaded())
    assert "org/other" in caplog.text


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"d_model": 64}, "width 64"),
        ({"num_hidden_layers": 5}, "5 layers"),
    ],
)
def test_a_published_folder_of_another_shape_is_refused(
    tmp_path: Path, config: dict[str, int], words: str
) -> None:
    write_published(tmp_path, **config)
    with pytest.raises(ModelError, match=words):
        load_lens(tmp_path, loaded())


def test_a_lens_of_other_weights_is_refused_and_one_of_another_template_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_lens(tmp_path, random_lens(), loaded())
    other = loaded(fingerprint="1" * 32)
    assert_equal(load_lens(tmp_path, other), random_lens())
    with pytest.raises(ModelError, match="what differs: weights"):
        load_lens(tmp_path, dataclasses.replace(other, parts=PARTS | {"weights": "x"}))
    assert not caplog.text
    in_16_bits = dataclasses.replace(
        other, parts=PARTS | {"weights": "x", "dtype": "x"}, dtype="bfloat16"
    )
    load_lens(tmp_path, in_16_bits)
    assert "fitted in float32 and is used in bfloat16" in caplog.text
    with pytest.raises(ModelError, match="what differs: config"):
        load_lens(
            tmp_path, dataclasses.replace(in_16_bits, parts=in_16_bits.parts | {"config": "x"})
        )


def test_a_lens_without_known_parts_belongs_to_its_fingerprint_alone(tmp_path: Path) -> None:
    save_lens(tmp_path, random_lens(), loaded_tiny())
    load_lens(tmp_path, loaded_tiny())
    with pytest.raises(ModelError, match="what differs: not known"):
        load_lens(tmp_path, dataclasses.replace(loaded_tiny(), fingerprint="1" * 32))


class Intruder:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_a_folder_that_is_no_lens_is_refused_in_one_line(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(ConfigError, match=words) as caught:
            load_lens(tmp_path, loaded())
        assert "\n" not in str(caught.value)

    refused("holds no config.json")
    write_published(tmp_path)
    (tmp_path / "params.pt").unlink()
    refused("neither params.pt nor params.safetensors")
    torch.save({"0.weight": Intruder()}, tmp_path / "params.pt")
    refused("holds no plain tensors")
    (tmp_path / "params.pt").write_bytes(b"")
    refused("holds no plain tensors")
    torch.save([1, 2], tmp_path / "params.pt")
    refused("no table of tensors")
    module = write_published(tmp_path)
    state = module.state_dict()
    torch.save(
        {name: value for name, value in state.items() if name != "3.bias"}, tmp_path / "params.pt"
    )
    refused("3.bias is missing, by config.json it is \\(32,\\)")
    torch.save(state | {"6.weight": state["0.weight"]}, tmp_path / "params.pt")
    refused("6.weight is \\(32, 32\\), by config.json it is not there")
    torch.save(state | {"2.weight": state["2.weight"] * torch.nan}, tmp_path / "params.pt")
    refused("2.weight is not finite")
    write_published(tmp_path, lens_type="quadratic")
    refused("lens_type 'quadratic'")
    (tmp_path / "config.json").write_text("{")
    refused("no lens' description")
    save_lens(tmp_path, random_lens(), loaded())
    record = json.loads((tmp_path / "lens.json").read_text())
    for wrong in ({"kind": "guess"}, {"schema": 9}, {"digest": 4}):
        (tmp_path / "lens.json").write_text(json.dumps(record | wrong))
        refused("lens.json")


def test_the_digest_is_of_kind_and_translators(tmp_path: Path) -> None:
    lens = random_lens()
    assert lens_digest(lens) == lens_digest(random_lens()) != lens_digest(random_lens(1))
    assert lens_digest(lens) != lens_digest(dataclasses.replace(lens, kind=LensKind.KL))
    save_lens(tmp_path, lens, loaded(), format_=LensFormat.SAFETENSORS)
    assert json.loads((tmp_path / "lens.json").read_text())["digest"] == lens_digest(lens)
    assert set(load_file(tmp_path / "params.safetensors")) == {
        f"{depth}.{name}" for depth in range(tiny.NUM_LAYERS) for name in ("weight", "bias")
    }
