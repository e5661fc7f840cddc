"""Settings for older versions, against what 4.57 reads by its sources (`support.version4`)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import tiny, version4
from support.exports import MEASURED_FAMILIES, ExportCase, export_cases
from transformers import PreTrainedConfig

from search_cluster.model.anatomy import ANATOMIES
from search_cluster.model.path_checkpoint import own_config
from search_cluster.model.portable.settings import portable_settings
from search_cluster.model.portable.versions import READINGS, TESTED
from search_cluster.paths.layer_path import LayerPath

CASES = {case.name: case for case in export_cases()}


def written(config: PreTrainedConfig) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What ``config.json`` holds, and the versions that are said to read it right."""
    portable = portable_settings(config, torch.float32)
    return {**json.loads(config.to_json_string()), **portable.settings}, portable.versions


def path_config(case: ExportCase) -> PreTrainedConfig:
    return own_config(tiny.tiny_config(case.family, **case.settings), case.path)


@pytest.mark.parametrize("name", CASES)
def test_leaving_version_4_reads_the_same_or_refuses(name: str) -> None:
    config = path_config(CASES[name])
    settings, versions = written(config)
    assert version4_agrees(settings, config) == ("4.57.6" in versions)
    assert (settings["torch_dtype"] == "float32") == ("4.51.3" in versions)
    assert settings["dtype"] == "float32"
    assert versions[-1] == TESTED[-1]


def version4_agrees(settings: dict[str, Any], config: PreTrainedConfig) -> bool:
    """Whether 4.57 computes the same; if it does not, it refuses."""
    try:
        read = version4.read(settings)
    except version4.RefusedError:
        return False
    assert read == version4.truth(config)
    return True


@st.composite
def any_settings(draw: st.DrawFn) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    family = draw(st.sampled_from(MEASURED_FAMILIES))
    kinds = ["default", "longrope"]
    if family != "phi3":
        kinds += ["linear", "dynamic", "yarn", "llama3"]

    def rotary() -> dict[str, Any]:
        kind = draw(st.sampled_from(kinds))
        values: dict[str, Any] = {
            "rope_type": kind,
            "rope_theta": draw(st.sampled_from((500.0, 10000.0, 1e6))),
        }
        if family == "phi3":
            values["partial_rotary_factor"] = 1.0
        if kind in ("linear", "dynamic", "yarn", "llama3"):
            values["factor"] = draw(st.sampled_from((1.0, 2, 4.0)))
        if kind in ("yarn", "llama3", "longrope"):
            values["original_max_position_embeddings"] = 16
        if kind == "llama3":
            values |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
        if kind == "longrope":
            values |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
            if draw(st.booleans()):
                values["factor"] = draw(st.sampled_from((2.0, 5.0)))
        if kind in ("yarn", "longrope") and draw(st.booleans()):
            values["attention_factor"] = 1.25
        return values

    both = ANATOMIES[family].rotary_per_layer_type
    settings: dict[str, Any] = {
        "rope_parameters": {"full_attention": rotary(), "sliding_attention": rotary()}
        if both
        else rotary(),
        "max_position_embeddings": 32,
        "head_dim": 8,
        "tie_word_embeddings": draw(st.booleans()),
    }
    if family == "phi3":
        settings["original_max_position_embeddings"] = 16
    if family not in ("gemma2", "gemma3_text", "olmo3") and draw(st.booleans()):
        settings |= {"sliding_window": None, "use_sliding_window": False}
    layers = draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    return family, settings, tuple(layers)


@given(any_settings())
def test_leaving_any_settings_are_read_the_same_or_refused(
    drawn: tuple[str, dict[str, Any], tuple[int, ...]],
) -> None:
    family, overrides, layers = drawn
    config = own_config(tiny.tiny_config(family, **overrides), LayerPath(layers, 6))
    settings, versions = written(config)
    assert version4_agrees(settings, config) == ("4.57.6" in versions)


def test_leaving_without_these_settings_version_4_reads_another_model() -> None:
    """The rule can fail: what version 5 writes by itself is read wrong."""
    wrong = set()
    for case in CASES.values():
        config = path_config(case)
        try:
            read = version4.read(json.loads(config.to_json_string()))
        except version4.RefusedError:
            continue
        if read != version4.truth(config):
            wrong.add(case.family)
    assert wrong == set(MEASURED_FAMILIES) - {"qwen3_moe"}  # its weights do not fit


def test_leaving_half_precision_is_not_promised_to_versions_that_do_not_know_dtype() -> None:
    portable = portable_settings(tiny.tiny_config(), torch.bfloat16)
    assert portable.versions == ("4.57.6", "5.0.0", "5.23.0")
    assert portable.settings["dtype"] == portable.settings["torch_dtype"] == "bfloat16"


def test_leaving_a_family_nobody_measured_is_promised_to_version_5_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for readings in READINGS.values():
        assert set(readings) <= set(ANATOMIES)
        monkeypatch.delitem(readings, "llama")
    settings, versions = written(tiny.tiny_config())
    assert versions == (TESTED[-1],)
    with pytest.raises(version4.RefusedError):
        version4.read(settings)
    assert not hasattr(torch, settings["torch_dtype"])


def test_leaving_the_last_tested_version_is_the_one_that_the_project_is_tested_with() -> None:
    pinned = (Path(__file__).parents[4] / "constraints.txt").read_text()
    assert f"transformers=={TESTED[-1]}\n" in pinned
