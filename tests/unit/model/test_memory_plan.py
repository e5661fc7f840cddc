"""The memory plan: sums stay below the card, and what does not fit says what would hold it."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import tiny
from transformers import AutoConfig, PreTrainedConfig

from search_cluster.errors import ModelError
from search_cluster.model import device_memory
from search_cluster.model.device_memory import cpu_state_bytes, memory_of, require_memory
from search_cluster.model.load import hub, loading
from search_cluster.model.load.loading import load_model
from search_cluster.model.memory_plan import (
    CALL_ROWS,
    KEYS_PER_ROW,
    MASK_BYTES,
    MIN_STATE_BYTES,
    PROCESS_BYTES,
    SLACK_SHARE,
    ModelSize,
    count_weights,
    plan_memory,
    size_in_parts,
    size_of,
    weightless,
)

GB = 10**9
CARDS = (24 * GB, 40 * GB, 80 * GB, 141 * GB)
LLAMA = {"vocab_size": 128256, "num_key_value_heads": 8}
CONFIGS: dict[str, tuple[str, dict[str, object]]] = {
    "1B": ("llama", {**LLAMA, "hidden_size": 2048, "intermediate_size": 8192,
                     "num_hidden_layers": 16, "num_attention_heads": 32, "head_dim": 64,
                     "tie_word_embeddings": True}),
    "3B": ("llama", {**LLAMA, "hidden_size": 3072, "intermediate_size": 8192,
                     "num_hidden_layers": 28, "num_attention_heads": 24, "head_dim": 128,
                     "tie_word_embeddings": True}),
    "8B": ("llama", {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336,
                     "num_hidden_layers": 32, "num_attention_heads": 32}),
    "32B": ("qwen3", {"vocab_size": 151936, "hidden_size": 5120, "intermediate_size": 25600,
                      "num_hidden_layers": 64, "num_attention_heads": 64,
                      "num_key_value_heads": 8, "head_dim": 128}),
    "70B": ("llama", {**LLAMA, "hidden_size": 8192, "intermediate_size": 28672,
                      "num_hidden_layers": 80, "num_attention_heads": 64}),
    "30B of experts": ("qwen3_moe", {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
        "moe_intermediate_size": 768, "num_hidden_layers": 48, "num_attention_heads": 32,
        "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
    }),
}  # fmt: skip
"""Published models of these sizes."""
NUM_WEIGHTS = {
    "1B": 1_235_814_400, "3B": 3_212_749_824, "8B": 8_030_261_248, "32B": 32_762_123_264,
    "70B": 70_553_706_496, "30B of experts": 30_532_122_624,
}  # fmt: skip
"""As their model cards and weight files have them."""
NUM_GPUS = {("32B", 24 * GB): 4, ("32B", 40 * GB): 2, ("70B", 24 * GB): 7, ("70B", 40 * GB): 4,
            ("70B", 80 * GB): 2, ("70B", 141 * GB): 2, ("30B of experts", 24 * GB): 3,
            ("30B of experts", 40 * GB): 2}  # fmt: skip
"""What does not fit, and how many GPUs would hold it."""


def config_of(name: str) -> PreTrainedConfig:
    family, settings = CONFIGS[name]
    return AutoConfig.for_model(family, **settings)


@cache
def bfloat16_size(name: str) -> ModelSize:
    return size_in_parts(weightless(config_of(name)), torch.bfloat16)


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_are_counted_as_they_are_published(name: str) -> None:
    assert count_weights(config_of(name)) == NUM_WEIGHTS[name]


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
def test_weights_of_every_family_are_counted(family: str, tied: bool) -> None:
    model = tiny.tiny_model(family, tie_word_embeddings=tied)
    config = tiny.tiny_config(family, tie_word_embeddings=tied)
    assert count_weights(config) == sum(weight.numel() for weight in model.parameters())


def test_rows_have_the_bytes_of_their_dtype() -> None:
    size = bfloat16_size("8B")
    assert size.weight_bytes == 2 * NUM_WEIGHTS["8B"]
    assert size.hidden_row_bytes == 2 * 4096
    assert size.key_row_bytes == 2 * 2 * 8 * 128


def test_a_row_takes_room_at_each_of_its_experts() -> None:
    few = config_of("30B of experts")
    few.num_experts_per_tok = 4
    num_bytes = [
        size_of(config, torch.bfloat16, num_weights=0).call_row_bytes
        for config in (few, config_of("30B of experts"))
    ]
    assert num_bytes[1] - num_bytes[0] == 2 * 3 * 4 * (768 + 2048)


@pytest.mark.parametrize("device_bytes", CARDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_sums_stay_below_the_card(name: str, device_bytes: int) -> None:
    size = bfloat16_size(name)
    num_gpus = NUM_GPUS.get((name, device_bytes))
    if num_gpus is not None:
        with pytest.raises(ModelError, match=f"^it takes {num_gpus} GPUs of {device_bytes / GB}"):
            plan_memory(size, device_bytes=device_bytes)
        several = plan_memory(size, device_bytes=device_bytes, num_devices=num_gpus)
        fullest = PROCESS_BYTES + size.fullest_bytes(num_gpus) + several.activation_bytes
        assert fullest + several.state_bytes / num_gpus <= (1 - SLACK_SHARE) * device_bytes
        assert several.state_bytes >= num_gpus * MIN_STATE_BYTES
        if num_gpus > 2:
            with pytest.raises(ModelError, match=f"^it takes {num_gpus} .* a worker has 2: "):
                plan_memory(size, device_bytes=device_bytes, num_devices=2)
        return
    plan = plan_memory(size, device_bytes=device_bytes)
    planned = PROCESS_BYTES + size.weight_bytes + plan.activation_bytes + plan.state_bytes
    assert planned <= (1 - SLACK_SHARE) * device_bytes
    assert planned >= (1 - SLACK_SHARE) * device_bytes - 10, "nothing is left lying"
    assert plan.state_bytes >= MIN_STATE_BYTES
    assert plan.rows_per_call in CALL_ROWS


@pytest.mark.parametrize("num_devices", range(1, 9))
@pytest.mark.parametrize("name", CONFIGS)
def test_devices_of_a_worker_have_about_equal_weights(name: str, num_devices: int) -> None:
    size = bfloat16_size(name)
    parts = sum(size.layer_bytes) + size.first_bytes + size.last_bytes
    assert parts >= size.weight_bytes, "a tied head is there twice"
    fullest = size.fullest_bytes(num_devices)
    if num_devices > 1:
        assert parts / num_devices <= fullest
        ends = max(size.first_bytes, size.last_bytes)
        assert fullest <= max(parts / num_devices + max(size.layer_bytes), ends * 1.5)


def test_a_card_on_which_no_layer_fits_holds_no_model() -> None:
    text = r"^GPUs of 2\.0 GB can't hold it, however many a worker has: its weights are 141"
    with pytest.raises(ModelError, match=text):
        plan_memory(bfloat16_size("70B"), device_bytes=2 * GB)


def test_large_cards_have_large_calls() -> None:
    small = plan_memory(bfloat16_size("8B"), device_bytes=24 * GB)
    large = plan_memory(bfloat16_size("8B"), device_bytes=80 * GB)
    assert (large.rows_per_call, large.head_rows) == (8192, 1024)
    assert small.rows_per_call < large.rows_per_call
    given_rows = plan_memory(bfloat16_size("8B"), device_bytes=80 * GB, rows_per_call=512)
    assert given_rows.rows_per_call == 512


def test_kept_masks_and_gathered_keys_have_room() -> None:
    size = bfloat16_size("3B")
    plan = plan_memory(size, device_bytes=80 * GB)
    key_bytes = plan.rows_per_call * KEYS_PER_ROW * size.key_row_bytes
    logit_bytes = plan.head_rows * size.head_row_bytes
    assert plan.activation_bytes > key_bytes + logit_bytes + MASK_BYTES
    per_row = size.call_row_bytes * plan.rows_per_call
    assert plan.activation_bytes == per_row + logit_bytes + MASK_BYTES


@given(
    name=st.sampled_from(sorted(CONFIGS)),
    device_bytes=st.integers(4 * GB, 300 * GB),
    num_workers=st.integers(1, 8),
    shares_weights=st.booleans(),
)
def test_workers_on_one_gpu_share_it(
    name: str, device_bytes: int, num_workers: int, shares_weights: bool
) -> None:
    size = bfloat16_size(name)
    try:
        plan = plan_memory(
            size,
            device_bytes=device_bytes,
            num_workers=num_workers,
            shares_weights=shares_weights,
        )
    except ModelError as error:
        text = str(error)
        if most := re.search(r"set workers(?:_per_gpu)? to (\d+)$", text):
            number = int(most[1])
            assert number < num_workers
            plan_memory(
                size,
                device_bytes=device_bytes,
                num_workers=number,
                shares_weights=shares_weights,
            )
        else:
            enough = float(re.search(r"GPUs of (\S+) GB and more", text)[1]) * GB  # type: ignore[index]
            assert enough > device_bytes * 0.99
            plan_memory(size, device_bytes=int(enough * 1.01))
        return
    num_copies = 1 if shares_weights else num_workers
    weights = num_copies * (PROCESS_BYTES + size.weight_bytes)
    assert weights + num_workers * (plan.activation_bytes + plan.state_bytes) <= device_bytes


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of 80 GB of which 64 are free."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (64 * GB, 80 * GB))
    monkeypatch.setattr(loading, "_require_device", lambda device: None)


def hub_of(
    config: PreTrainedConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[list[str]]:
    """A hub that has a model's configuration; returns the patterns of what it is asked for."""
    asked: list[list[str]] = []

    def snapshot_download(hub_id: str, *, allow_patterns: list[str], **_: object) -> str:
        asked.append(allow_patterns)
        config.save_pretrained(folder)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return asked


@pytest.mark.usefixtures("gpu")
def test_a_hub_model_that_does_not_fit_is_refused_before_its_weights_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub_of(config_of("70B"), tmp_path, monkeypatch)
    text = (
        r"^model 'owner/large' in bfloat16: it takes 2 GPUs of 80\.0 GB, and a worker has one: its "
        r"weights are 141\.1 GB, and \d\.\d GB are needed beside them on each; set "
        r"--devices-per-worker 2, or take a smaller model, or GPUs of 14\d\.\d GB and more$"
    )
    with pytest.raises(ModelError, match=text):
        load_model("owner/large", device="cuda")
    (patterns,) = asked
    assert not any("safetensors" in pattern for pattern in patterns)


@pytest.mark.usefixtures("gpu")
def test_a_folder_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    config_of("70B").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(ModelError, match="it takes 2 GPUs of 80"):
        load_model(str(tmp_path), device="cuda")


@pytest.mark.usefixtures("gpu")
def test_a_configuration_that_describes_no_model_is_one_error() -> None:
    config = tiny.tiny_config()
    config.hidden_act = "no such function"
    with pytest.raises(ModelError, match=r"describes no model \(KeyError: .*\); check config"):
        require_memory(config, torch.bfloat16, "cuda")


@pytest.mark.usefixtures("gpu")
def test_two_workers_on_a_gpu_need_room_for_two_models() -> None:
    require_memory(config_of("8B"), torch.bfloat16, "cuda", num_workers=4)
    require_memory(config_of("32B"), torch.bfloat16, "cuda")
    with pytest.raises(ModelError, match=r"2 workers do not fit on a GPU .* workers_per_gpu to 1"):
        require_memory(config_of("32B"), torch.bfloat16, "cuda", num_workers=2)


def test_on_the_cpu_all_is_as_it_was(tmp_path: Path) -> None:
    loaded = load_model(str(tiny.save_tiny_model(tmp_path)), device="cpu")
    plan = memory_of(loaded)
    assert (plan.rows_per_call, plan.head_rows) == (1024, 128)
    assert plan.state_bytes == cpu_state_bytes()
    assert memory_of(loaded, rows_per_call=64).rows_per_call == 64


@pytest.mark.usefixtures("gpu")
def test_workers_of_one_gpu_do_not_take_each_others_states(tmp_path: Path) -> None:
    loaded = replace(load_model(str(tiny.save_tiny_model(tmp_path)), device="cpu"), device="cuda")
    alone = memory_of(loaded)
    assert alone.activation_bytes + alone.state_bytes <= 64 * GB
    for shares_weights in (False, True):
        each = memory_of(loaded, num_workers=2, shares_weights=shares_weights)
        assert 2 * (each.activation_bytes + each.state_bytes) <= 80 * GB
        assert each.state_bytes > 35 * GB


def test_a_model_larger_than_the_memory_is_refused_before_its_weights_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub_of(config_of("8B"), tmp_path, monkeypatch)
    monkeypatch.setattr(device_memory, "usable_memory_bytes", lambda: 24 * GB)
    text = (
        r"^model 'owner/large' in float32: its weights are 3\d\.\d GB, and this process may have "
        r"24\.0 GB of memory \(.*\); take a smaller model, a 16-bit dtype, or "
    )
    with pytest.raises(ModelError, match=text):
        load_model("owner/large", device="cpu")
    (patterns,) = asked
    assert not any("safetensors" in pattern for pattern in patterns)
    require_memory(config_of("8B"), torch.bfloat16, "cpu")
