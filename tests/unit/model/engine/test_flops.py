"""Arithmetic is counted as it is done, and what reads a device reads what there is."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from support.loaded_tiny import loaded_tiny
from support.tiny import tiny_model

from search_cluster.errors import DeviceBrokenError
from search_cluster.model.engine import device_meter
from search_cluster.model.engine.device_meter import DeviceMeter
from search_cluster.model.engine.flops import FlopRates, product_flops_per_s
from search_cluster.model.engine.work_counters import WorkCounters


def test_a_row_of_a_dense_model_by_hand() -> None:
    model = tiny_model("llama", 0)
    config = model.config
    width, inner = config.hidden_size, config.intermediate_size
    head = width // config.num_attention_heads
    products = width * head * 2 * (config.num_attention_heads + config.num_key_value_heads)
    rates = FlopRates.of(model)
    assert rates.layer_row == 2.0 * (products + 3 * width * inner)
    assert rates.feed_forward_row == 2.0 * 3 * width * inner
    assert rates.visible_row == 4.0 * config.num_attention_heads * head
    assert rates.head_row == 2.0 * width * config.vocab_size
    counted = WorkCounters(layer_tokens=10, unread_rows=2, visible_rows=30, head_rows=1)
    assert rates.flops(counted) == (
        10 * rates.layer_row - 2 * rates.feed_forward_row + 30 * rates.visible_row + rates.head_row
    )
    assert rates.flops(replace(counted, filler_rows=50)) == rates.flops(counted)


def test_of_a_mixture_the_experts_count_that_a_row_takes() -> None:
    model = tiny_model("mixtral", 0)
    config = model.config
    router = config.hidden_size * config.num_local_experts
    expert = 3 * config.hidden_size * config.intermediate_size
    feed_forward = 2.0 * config.num_experts_per_tok * expert
    # Whether the router is a linear layer is transformers' own affair.
    assert FlopRates.of(model).feed_forward_row - feed_forward in (0.0, 2.0 * router)


def test_a_plain_product_is_timed_and_draws_no_random_numbers_of_the_run() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    assert product_flops_per_s(tiny_model("llama", 0), num_rows=8, rounds=1) > 0
    torch.manual_seed(3)
    product_flops_per_s(loaded_tiny().model, num_rows=8, rounds=1)
    assert torch.equal(torch.rand(2), wanted)


def test_a_cpu_is_read_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    meter = DeviceMeter(loaded_tiny(), clock=lambda: now_s[0])
    reading = meter.reading()
    assert reading.name
    assert reading.peak_flops_per_s > 0
    assert 0 < reading.memory_bytes < reading.memory_limit_bytes
    assert reading.utilisation is None
    monkeypatch.setattr(device_meter, "_host_memory", lambda: (5, 9))
    assert meter.reading() == reading
    now_s[0] = 1.0
    assert meter.reading() == replace(reading, memory_bytes=5, memory_limit_bytes=9)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that nobody computes on."""
    monkeypatch.setattr(device_meter, "product_flops_per_s", lambda model, **more: 1e15)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H200")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30, 100))


def test_a_gpu_says_how_long_its_kernels_ran(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 40)
    reading = DeviceMeter(replace(loaded_tiny(), device="cuda:0")).reading()
    assert (reading.name, reading.peak_flops_per_s, reading.utilisation) == ("H200", 1e15, 0.4)
    assert (reading.memory_bytes, reading.memory_limit_bytes) == (70, 100)


def test_bindings_that_are_not_there_are_said_once(
    gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = SimpleNamespace(count=0)

    def refuse(device: torch.device) -> int:
        asked.count += 1
        raise ModuleNotFoundError("pynvml does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    caplog.set_level(logging.INFO)
    now_s = [0.0]
    meter = DeviceMeter(replace(loaded_tiny(), device="cuda:0"), clock=lambda: now_s[0])
    for now_s[0] in (2.0, 4.0):
        assert meter.reading().utilisation is None
    assert asked.count == len(caplog.records) == 1
    assert "nvidia-ml-py" in caplog.text


def test_a_driver_that_says_the_device_is_broken_is_heard(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(device: torch.device) -> int:
        raise DeviceBrokenError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "utilization", broken)
    with pytest.raises(DeviceBrokenError):
        DeviceMeter(replace(loaded_tiny(), device="cuda:0"))
